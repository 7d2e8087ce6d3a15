"""Clips whose every pixel is known, and a model that says of each frame what a script says."""

from __future__ import annotations

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

from fetal_monai.dicom import FrameRef
from fetal_monai.inference import Prediction, ReadFailure
from made_predictions import IDENTITY

PLANES = ("Abdomen", "Femur", "Other")


def write_clip(path, frames, **elements):
    """Write (T, H, W) uint8 grey frames as an uncompressed clip; elements are attributes, None takes one out."""
    data = Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    data.StudyInstanceUID, data.SeriesInstanceUID, data.PatientID = "1.2.3", "1.2.3.4", "P1"
    data.Modality, data.FrameTime = "US", 40
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.NumberOfFrames, data.Rows, data.Columns = frames.shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PixelData = frames.tobytes()
    for keyword, value in elements.items():
        if value is None:
            del data[keyword]
        else:
            setattr(data, keyword, value)
    data.save_as(path, enforce_file_format=True)
    return data


def textured(count, size=(60, 80), seed=0):
    """Frames of one texture that stands still, (count, H, W) uint8."""
    picture = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    return np.repeat(picture[None], count, axis=0)


class ScriptedPredictor:
    """Says of each frame of a clip what its script holds; counts what it was asked."""

    def __init__(self, script, class_names=PLANES, sure=0.7):
        self.script = np.asarray(script)
        self.class_names = tuple(class_names)
        self.identity = IDENTITY
        self.asked = []
        self.workers = 2
        self.sure = sure

    def predict(self, inputs, *, measure=None):  # noqa: ARG002
        for item in inputs:
            assert isinstance(item, FrameRef)
            self.asked.append(item.frame)
            row = self.script[item.frame]
            if np.isnan(row).any():
                yield ReadFailure(str(item), f"{item}: scripted to fail")
                continue
            label = self.class_names[int(row.argmax())] if row.max() >= self.sure else None
            yield Prediction(item.path, "1.2", item.frame, row, self.class_names, label, self.identity)


def script(*parts):
    """Probabilities of `PLANES` frame by frame: (plane or None, frames) -> (T, 3)."""
    rows = []
    for plane, count in parts:
        row = np.full(3, 1 / 3) if plane is None else np.where(np.array(PLANES) == plane, 0.96, 0.02)
        rows += [row] * count
    return np.array(rows)
