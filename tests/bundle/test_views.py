"""One view in or two: the network sees the same shallow view, wherever it was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.bundle import ConfigParser, onnx_export
from monai.transforms import Compose

from fetal_monai.dicom import index_dicom, read_frame
from fetal_monai.inference import Predictor
from fetal_monai.model.description import describe_model
from fetal_monai.model.facts import write_facts

pytestmark = pytest.mark.thorough

SIDES = st.integers(2, 300)


class Network:
    """The tiny network of the bundle with BatchNorm statistics drawn at random: fresh ones hide what a layer does."""

    def __init__(self, root: Path, overlay: Path) -> None:
        parser = ConfigParser()
        parser.read_config([str(root / "bundle/configs/train.yaml"), str(overlay)])
        torch.manual_seed(0)
        self.network = parser.get_parsed_content("network_def").eval()
        for module in self.network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.2, 0.6)
        self.chain = Compose(parser.get_parsed_content("validate#preprocessing").transforms[1:])
        self.classes = parser.get_parsed_content("class_names")


@pytest.fixture(scope="module")
def bundle(root, tiny) -> Network:
    return Network(root, tiny)


def frame_of(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Noise that is coarse enough to survive shrinking."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, -(-height // 8), -(-width // 8)), np.uint8)
    return torch.from_numpy(coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width].copy())


@settings(max_examples=30)
@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=4))
def test_one_view_gives_the_logits_of_two_exactly(bundle, shapes):
    views = [bundle.chain({"image": frame_of(*shape, seed)}) for seed, shape in enumerate(shapes)]
    image, shallow = (torch.stack([view[key] for view in views]) for key in ("image", "image_shallow"))
    with torch.inference_mode():
        assert torch.equal(bundle.network(image), bundle.network(image, shallow))
        assert torch.equal(bundle.network.forward_features(image), bundle.network.forward_features(image, shallow))


def test_the_views_of_the_default_sizes_are_the_same_too(root):
    parser = ConfigParser()
    parser.read_config([str(root / "bundle/configs/train.yaml")])
    chain = Compose(parser.get_parsed_content("validate#preprocessing").transforms[1:])
    views = chain({"image": frame_of(852, 1136)})
    network = parser.get_parsed_content("network_def")
    network.backbone_shallow = network.backbone_detailed = torch.nn.Identity()
    with torch.inference_mode():
        one, two = (network._one_pass(views["image"][None], view) for view in (None, views["image_shallow"][None]))
    assert torch.equal(one, two)


def test_the_reference_makes_both_views_from_the_frame(root):
    parser = ConfigParser()
    parser.read_config([str(root / "bundle/configs" / name) for name in ("train.yaml", "recipes/reference.yaml")])
    assert parser.get_parsed_content("views")[0].shallow_from == "frame"


def test_an_export_with_one_input_predicts_as_the_predictor_does(root, tiny, bundle, phantom, tmp_path):
    torch.save(bundle.network.state_dict(), tmp_path / "model.pt")
    write_facts(tmp_path, describe_model(bundle.network, bundle.chain, bundle.classes))
    onnx_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(tmp_path / "model.pt"),
        meta_file=str(root / "bundle/configs/metadata.json"),
        config_file=[str(root / "bundle/configs/inference.yaml"), str(tiny)],
        input_shape=[1, 3, 48, 64],
        key_in_ckpt="",
    )
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    predictor = Predictor(tmp_path, device="cpu")
    paths = [entry.path for entry in index_dicom(phantom).values() if entry.frames == 1]
    for path, found in zip(paths, predictor.predict(paths), strict=True):
        views = bundle.chain({"image": torch.from_numpy(read_frame(path))})
        (logits,) = session.run(None, {session.get_inputs()[0].name: views["image"][None].numpy()})
        probabilities = torch.from_numpy(logits[0]).double().softmax(0).numpy()
        # Random weights give logits of 150, whose rounding shows: 1.5e-5 was seen, 0.026 with a view of another making.
        np.testing.assert_allclose(probabilities, found.probabilities, atol=1e-4)
