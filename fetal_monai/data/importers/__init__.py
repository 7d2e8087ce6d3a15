"""Public and exported data sets of pictures as DICOM with labels, one kind a module.

Each kind makes a plan from tables and names; writing it is the same for all: `import_dataset`.
"""

from fetal_monai.data.importers.import_dataset import KINDS, ImportSummary, import_dataset

__all__ = ["KINDS", "ImportSummary", "import_dataset"]
