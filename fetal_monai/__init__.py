"""Fetal ultrasound plane classification in MONAI, straight from the DICOM that scanners write.

Research software: it is not a medical device and must not be used for diagnosis.
"""

__version__ = "0.1.0"
