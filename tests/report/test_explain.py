import numpy as np
import pytest
import torch

from fetal_monai.metrics import Predictions
from fetal_monai.networks import SingleBranchClassifier
from fetal_monai.report.explain import BranchExplainer, faithfulness, overlay
from fetal_monai.report.gallery import confident_errors


class Bright(torch.nn.Module):
    """A feature map whose channels are the mean brightness and darkness of each quarter of the image."""

    def forward(self, image):
        level = torch.nn.functional.adaptive_avg_pool2d(image.mean(dim=1, keepdim=True), 2)
        return torch.cat([level, 1 - level], dim=1)


class TwoBranches(torch.nn.Module):
    """Class 0 is spoken for by bright quarters, class 1 by dark ones; the shallow branch counts half."""

    def __init__(self):
        super().__init__()
        self.backbone_shallow, self.backbone_detailed = Bright(), Bright()

    def forward(self, image, image_shallow=None):
        shallow = self.backbone_shallow(image if image_shallow is None else image_shallow).mean(dim=(2, 3))
        return 8 * (self.backbone_detailed(image).mean(dim=(2, 3)) + shallow / 2)


@pytest.fixture
def corner():
    """One bright quarter: upper right."""
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, :32, 32:] = 1
    return image


def test_maps_equal_the_closed_form_and_tell_the_branches_apart(corner):
    explain = BranchExplainer(TwoBranches())
    maps = explain(corner, corner.flip(3), 0)
    assert set(maps) == {"shallow", "detailed"}
    # The gradient of class 0 is one number everywhere in channel 0 and none in channel 1: the map is the brightness.
    np.testing.assert_allclose(maps["detailed"], [[0, 1], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(maps["shallow"], [[1, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(explain(corner, None, 1)["detailed"], [[1, 0], [1, 1]], atol=1e-6)


def test_frozen_backbones_are_explained_too(corner):
    class Frozen(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = torch.nn.Conv2d(3, 2, 1).requires_grad_(False)

        def forward(self, image, **_):
            return self.backbone(image).mean(dim=(2, 3))

    assert BranchExplainer(Frozen())(corner, None, 0)["image"].shape == (64, 64)


def test_a_network_that_averages_mirror_images_is_explained_on_the_image_itself(corner):
    class Backbone(Bright):
        out_channels = 2

    network = SingleBranchClassifier(2, Backbone(), average_flips=True)
    with torch.no_grad():
        network.head.weight.copy_(torch.eye(2))
    maps = BranchExplainer(network)(corner, None, 0)
    np.testing.assert_allclose(maps["image"], [[0, 1], [0, 0]], atol=1e-6)


def test_a_network_without_backbones_is_refused():
    with pytest.raises(ValueError, match="has no backbone"):
        BranchExplainer(torch.nn.Linear(2, 2))


def test_deletion_and_insertion_tell_a_true_map_from_a_false_one(corner):
    network = TwoBranches()
    true, false = np.array([[0, 1], [0, 0]], np.float32), np.array([[1, 0], [1, 1]], np.float32)
    good, bad = (faithfulness(network, corner, m, 0, steps=16) for m in (true, false))
    assert good.deletion < bad.deletion
    assert good.insertion > bad.insertion
    assert good.deletion < good.insertion


def test_overlay_colours_where_the_map_is_high_and_nowhere_else():
    frame = np.full((40, 60, 3), 100, np.uint8)
    laid = overlay(frame, np.array([[0, 1], [0, 0]], np.float32))
    assert laid.shape == frame.shape
    np.testing.assert_allclose(laid[35, 5].astype(int), 100, atol=1)
    red, green, blue = laid[2, 58].astype(int)
    assert red > blue + 50  # the bright end of viridis is yellow
    assert green > blue + 50


def test_the_most_confident_errors_come_first():
    probabilities = [[0.6, 0.2, 0.2], [0.9, 0.1, 0], [0, 0.8, 0.2], [0, 1, 0]]
    table = Predictions("abc", list("0123"), [-1] * 4, [1, 0, 0, 2], probabilities)
    assert confident_errors(table) == [3, 2, 0]
    assert confident_errors(table, 1) == [3]
