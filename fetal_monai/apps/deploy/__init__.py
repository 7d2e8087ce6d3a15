"""MONAI Deploy application: a folder of DICOM in, structured reports and predictions out.

    python -m fetal_monai.apps.deploy -i DICOM_DIR -o OUT [-m MODEL_DIR]

`DICOMDataLoaderOperator` -> `DICOMSeriesSelectorOperator` -> `UltrasoundFramesOperator` -> `PlaneClassifierOperator` ->
`ReportWriterOperator`. See docs/deploy.md. Importing this package needs nothing of MONAI Deploy; its modules do, and
`fetal_monai.apps.deploy.runtime.prepare_runtime` makes them importable.
"""
