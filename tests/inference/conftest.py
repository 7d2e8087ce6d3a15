"""A predictor of the small model, and images to show it."""

from __future__ import annotations

import pytest

from fetal_monai.dicom import index_dicom
from fetal_monai.inference import Predictor


@pytest.fixture(scope="module")
def predictor(model_dir):
    return Predictor(model_dir, device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def stills(phantom):
    return [entry.path for entry in index_dicom(phantom).values() if entry.frames == 1]
