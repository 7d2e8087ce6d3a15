"""Studies from an archive that speaks DICOMweb: QIDO-RS finds them, WADO-RS brings them.

It needs the package dicomweb-client: `pip install 'fetal_monai[dicomweb]'`.
"""
