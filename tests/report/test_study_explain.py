from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from monai.transforms import Compose

from fetal_monai.dicom import FrameRef, index_dicom
from fetal_monai.inference import Predictor
from fetal_monai.report.study_explain import StudyExplainer
from fetal_monai.transforms import DualResolutiond
from made_predictions import PLANES, predicted


class Bright(torch.nn.Module):
    """Mean brightness and darkness of each quarter of the image."""

    def forward(self, image):
        level = torch.nn.functional.adaptive_avg_pool2d(image.mean(dim=1, keepdim=True), 2)
        return torch.cat([level, -level], dim=1)


class Network(torch.nn.Module):
    """Bright quarters speak for the first class, dark ones for the second, nothing for the others."""

    def __init__(self):
        super().__init__()
        self.backbone_shallow, self.backbone_detailed = Bright(), Bright()

    def forward(self, image, image_shallow=None):
        level = self.backbone_detailed(image).mean(dim=(2, 3)) + self.backbone_shallow(image_shallow).mean(dim=(2, 3))
        return torch.cat([level, 0 * level], dim=1)


@pytest.fixture
def explain():
    views = DualResolutiond("image", detailed_size=(60, 80), shallow_size=(30, 40))
    return StudyExplainer(SimpleNamespace(network=Network(), preprocessing=Compose([views]), device="cpu"))


@pytest.fixture
def found(tmp_path):
    """Of a picture with one bright quarter: upper right."""
    pixels = np.full((60, 80, 3), 40, np.uint8)
    pixels[:30, 40:] = 200
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    return predicted(SimpleNamespace(path=str(tmp_path / "a.png"), sop_instance_uid=None), PLANES)


def test_it_colours_what_speaks_for_the_plane(explain, found):
    bright, dark = explain(found, PLANES[0]).astype(int), explain(found, PLANES[1]).astype(int)
    assert bright.shape == (60, 80, 3)
    assert bright[2, 78, 0] > bright[2, 78, 2] + 50  # the bright end of viridis is yellow
    np.testing.assert_allclose(bright[55, 5], 40, atol=1)
    np.testing.assert_allclose(dark[2, 78], 200, atol=1)
    assert dark[55, 5, 0] > dark[55, 5, 2] + 50


def test_nothing_is_drawn_where_nothing_speaks_or_nothing_can_be_read(explain, found, tmp_path):
    assert explain(found, PLANES[2]) is None
    (tmp_path / "a.png").unlink()
    assert explain(found, PLANES[0]) is None


def test_a_model_explains_frames_of_clips_and_stays_as_it_is(model_dir, phantom):
    entries = index_dicom(phantom / "dicom").values()
    clip = next(entry for entry in entries if entry.frames > 1)
    predictor = Predictor(model_dir, "cpu")
    ref = FrameRef(clip.path, clip.frames - 1)
    (before,) = predictor.predict([ref])
    explain = StudyExplainer(predictor)
    drawn = [explain(before, plane) for plane in predictor.class_names]
    drawn = [picture for picture in drawn if picture is not None]
    assert drawn
    assert {picture.dtype for picture in drawn} == {np.dtype(np.uint8)}
    assert {picture.shape for picture in drawn} == {(60, 80, 3)}
    assert not any(module._forward_hooks for module in predictor.network.modules())
    assert not any(parameter.grad is not None for parameter in predictor.network.parameters())
    (after,) = predictor.predict([ref])
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
