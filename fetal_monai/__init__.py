"""Fetal ultrasound plane classification in MONAI, straight from the DICOM that scanners write.

Research software: it is not a medical device and must not be used for diagnosis.
"""

import os

from fetal_monai.utils.lazy_attributes import lazy_attributes

__version__ = "0.1.0"

# Newer builds of ONNX Runtime report to Microsoft unless this is set before anything imports them.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Names that moved, for configurations that were written with the old ones.
__getattr__ = lazy_attributes(__name__, {"model_folder": "fetal_monai.model"})
