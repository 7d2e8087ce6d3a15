"""PNG in, DICOM out, so that training finds every image in one format."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

from fetal_monai.errors import InputError
from fetal_monai.utils.files import atomic_path


def picture_to_dicom(picture: str | PathLike[str], path: str | PathLike[str]) -> None:
    """Write the pixels of a picture, unchanged, as an uncompressed ultrasound instance for training.

    It is a container for pixels, not an image for an archive: it has no patient and no study. Its UID follows from the
    picture's bytes.

    Args:
        picture: a PNG; deeper grey and alpha are brought to 8-bit RGB, as `Predictor` does.
        path: the file to write.

    Raises:
        InputError: if the picture is damaged.
    """
    content = Path(picture).read_bytes()
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB) if content else None
    if pixels is None:
        raise InputError(picture, ["it is a damaged PNG; export it again"])
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UltrasoundImageStorage
    dataset.SOPInstanceUID = UID(generate_uid(entropy_srcs=[str(picture), str(len(content))]))
    dataset.Modality = "US"
    dataset.set_pixel_data(pixels, "RGB", 8)
    with atomic_path(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
