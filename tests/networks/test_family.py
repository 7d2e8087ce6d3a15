"""The bundle's networks: parameters, views, exports of each overlay."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

# Parameters of each backbone without classifier: published counts less 1000 x (features + 1).
B0, B6, B7 = 5_288_548 - 1_281_000, 43_040_704 - 2_305_000, 66_347_960 - 2_561_000
RESNET18, RESNET34 = 11_689_512 - 513_000, 21_797_672 - 513_000
DENSENET201 = 20_013_928 - 1_921_000
LITE0 = 4_652_008 - 1_281_000
NETWORKS = {  # parameters of the backbones, features, (H, W) of the views
    "effnet_b0_b6": (B0 + B6, 1280 + 2304, (528, 528), (224, 224)),
    "resnet18_resnet34": (RESNET18 + RESNET34, 1024, (570, 761), (281, 374)),
    "resnet34_effnet_b6": (RESNET34 + B6, 512 + 2304, (528, 528), (256, 256)),
    "resnet18_densenet201": (RESNET18 + DENSENET201, 512 + 1920, (460, 613), (281, 374)),
    "resnet18_densenet201_gated": (RESNET18 + DENSENET201 + 1, 512 + 1920, (460, 613), (281, 374)),
    "resnet18": (RESNET18, 512, (281, 374), None),
    "effnet_b7": (B7, 2560, (600, 600), None),
    "lite0_lite0": (2 * LITE0, 2560, (160, 160), (96, 96)),
    "lite0": (LITE0, 1280, (192, 288), None),
}
FAST = {
    "resnet18_resnet34",
    "resnet18",
    "lite0_lite0",
    "lite0",
}  # the default: test_checkpoint_import.py


def every_network(fast):
    return [pytest.param(name, marks=[] if name in fast else [pytest.mark.slow]) for name in NETWORKS]


def views(name, batch=1):
    _, _, detailed, shallow = NETWORKS[name]
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(batch, 3, *detailed, generator=generator) * 2 - 1
    return (image,) if shallow is None else (image, torch.rand(batch, 3, *shallow, generator=generator) * 2 - 1)


def test_every_overlay_is_in_the_table():
    folder = Path(__file__).parents[2] / "bundle" / "configs" / "networks"
    assert {path.stem for path in folder.glob("*.yaml")} == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_views(name, overlay):
    parser = overlay(name)
    with torch.device("meta"):
        network = parser.get_parsed_content("network_def")
    backbones, features, detailed, shallow = NETWORKS[name]
    assert sum(parameter.numel() for parameter in network.parameters()) == backbones + 16 * (features + 1)
    assert parser.get_parsed_content("detailed_size") == list(detailed)
    assert parser.get_parsed_content("shallow_size") == (list(shallow) if shallow else None)


def test_default_has_44_8_million_parameters():
    backbones, features, *_ = NETWORKS["effnet_b0_b6"]
    assert (backbones + 16 * (features + 1)) / 1e6 == pytest.approx(44.8, abs=0.05)


@pytest.mark.parametrize("name", every_network(FAST))
def test_forward_at_native_views(name, overlay, randomise):
    network = randomise(overlay(name).get_parsed_content("network_def"))
    seen = []
    network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        logits = network(*views(name))
    assert logits.shape == (1, 16)
    assert seen[0].shape == (1, NETWORKS[name][1])
    assert logits.std() > 1e-3
    assert torch.isfinite(logits).all()


@pytest.mark.thorough
@pytest.mark.parametrize("name", every_network({"lite0_lite0"}))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_export_parity(name, overlay, randomise, tmp_path):
    """TorchScript as `ckpt_export` makes it, and ONNX in ONNX Runtime, agree with the network on one view."""
    onnxruntime = pytest.importorskip("onnxruntime")
    network = randomise(overlay(name).get_parsed_content("network_def"))
    image = views(name, batch=2)[0]
    with torch.inference_mode():
        expected = network(image)
        scripted = torch.jit.script(network)
        scripted.save(tmp_path / "model.ts")
        again = torch.jit.load(tmp_path / "model.ts")
        torch.testing.assert_close(again(image), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(again.forward_features(image), network.forward_features(image), rtol=1e-4, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = {"image": {0: torch.export.Dim("batch")}}
        torch.onnx.export(network, (image,), tmp_path / "model.onnx", dynamic_shapes=shapes, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 2):
        (logits,) = session.run(None, {session.get_inputs()[0].name: image[:count].numpy()})
        tolerance = 1e-4 * expected.abs().max().item()
        np.testing.assert_allclose(logits, expected[:count].numpy(), rtol=1e-3, atol=tolerance)
