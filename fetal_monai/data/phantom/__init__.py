"""Synthetic fetal ultrasound as DICOM: a data set that anyone may have, to try, teach and test with.

Sixteen planes drawn by anatomy-like geometry, seen through a convex probe: sector, speckle, shadows, enhancement,
banner. It imitates ultrasound well enough to exercise every part of a pipeline; it says nothing about performance on
patients.
"""

from fetal_monai.data.phantom.dataset import generate_phantom
from fetal_monai.data.phantom.plan import PhantomSpec

__all__ = ["PhantomSpec", "generate_phantom"]
