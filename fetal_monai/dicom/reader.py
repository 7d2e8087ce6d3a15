"""The reader that MONAI's `LoadImage` and `LoadImaged` use for ultrasound DICOM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike, fspath
from typing import Any

import torch
from monai.data import ImageReader

from fetal_monai.dicom.frame_ref import FrameRef
from fetal_monai.dicom.isolation import IsolatedDecoder
from fetal_monai.dicom.limits import DEFAULT_LIMITS, Limits
from fetal_monai.dicom.picture import open_image
from fetal_monai.errors import DicomReadError


class UltrasoundReader(ImageReader):
    """Read one frame of an ultrasound DICOM file as 8-bit RGB, whatever its colour model and compression.

    A PNG or JPEG is read, too, as a still that declares no regions.

    `read` only notes the address and `get_data` decodes: `LoadImage` swallows what `read` raises and asks the next
    reader, so a `DicomReadError` from `get_data` is the one way for it to reach the user as it is.

    Args:
        limits: caps against hostile or broken files.
        identifiers: whether the metadata may name the patient (PatientID, PatientName, birth date, accession number).
        isolated: whether to decode in a worker process of its own, which may crash without taking the training down;
            it costs a copy of the pixels.

    Example:
        >>> import numpy as np
        >>> from monai.transforms import LoadImaged
        >>> from pydicom.data import get_testdata_file
        >>> load = LoadImaged("image", reader=UltrasoundReader(), dtype=np.uint8, expanduser=False)
        >>> image = load({"image": FrameRef(get_testdata_file("examples_ybr_color.dcm"), 7)})["image"]
        >>> image.shape, image.dtype, image.meta["frame"], image.meta["frames"]
        (torch.Size([3, 240, 320]), torch.uint8, 7, 30)
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, identifiers: bool = False, isolated: bool = False) -> None:
        super().__init__()
        self._decoder = IsolatedDecoder() if isolated else None
        self._limits = limits
        self._identifiers = identifiers

    @property
    def config(self) -> dict[str, Any]:
        """What decides what comes out, for caches: the limits, and whether the patient may be named."""
        return {"class": type(self).__qualname__, "limits": asdict(self._limits), "identifiers": self._identifiers}

    def verify_suffix(self, filename: Sequence[str | PathLike[str]] | str | PathLike[str]) -> bool:
        """Whether to try a file: always, for DICOM files often have no suffix."""
        del filename
        return True

    def read(self, data: Sequence[str | PathLike[str]] | str | PathLike[str], **kwargs: Any) -> FrameRef:
        """Note which frame is meant; nothing is opened.

        Args:
            data: a `FrameRef`, a path (of a still), or a sequence of one of these.
            kwargs: ignored; part of MONAI's interface.

        Returns:
            The address.
        """
        del kwargs
        names = [data] if isinstance(data, (str, PathLike)) else list(data)
        return _address(names[0]) if len(names) == 1 else FrameRef("; ".join(fspath(name) for name in names), -2)

    def get_data(self, img: FrameRef) -> tuple[torch.Tensor, dict[str, Any]]:  # type: ignore[override] # tensors go, too
        """Decode the frame.

        Args:
            img: what `read` returned.

        Returns:
            (3, rows, columns) uint8 RGB, and the metadata of `frame_metadata`. A tensor, because `LoadImage` would copy
            an array to have its channels apart in memory.

        Raises:
            DicomReadError: if the file or the frame cannot be read.
        """
        if img.frame < -1:
            raise DicomReadError(img.path, "several files were given for one image", "give one file per item and key")
        if self._decoder is not None:
            frame, meta = self._decoder.decode(img.path, img.frame, limits=self._limits, identifiers=self._identifiers)
        else:
            with open_image(img.path, limits=self._limits) as instance:
                frame, meta = instance.frame(img.frame), instance.metadata(img.frame, identifiers=self._identifiers)
        return torch.from_numpy(frame), meta


def _address(name: str | PathLike[str]) -> FrameRef:
    return name if isinstance(name, FrameRef) else FrameRef(fspath(name))
