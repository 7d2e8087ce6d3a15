"""The configs agree with each other, and with what MONAI's tools expect of a bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ckpt_export, onnx_export, verify_metadata, verify_net_in_out

SCHEMA = "reference/meta_schema_20240725.json"
OPTIONS = ("dropout", "auxiliary_heads", "freeze_backbones", "frozen_norm_stages", "average_flips")


def load(root: Path, name: str) -> dict:
    return yaml.safe_load((root / "bundle/configs" / name).read_text())


@pytest.fixture(scope="module")
def trained(root: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """Weights of the tiny network with BatchNorm statistics drawn at random: fresh ones hide what a layer does."""
    parser = ConfigParser()
    parser.read_config([str(root / "bundle/configs/inference.yaml"), str(tiny)])
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(network.state_dict(), path)
    return path, network.eval()


def test_the_classes_stand_in_one_order_everywhere(root: Path):
    classes = load(root, "train.yaml")["class_names"]
    assert len(classes) == len(set(classes)) == 16
    assert load(root, "inference.yaml")["class_names"] == classes
    meta = json.loads((root / "bundle/configs/metadata.json").read_text())
    channels = meta["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert channels == {str(index): name for index, name in enumerate(classes)}


def test_exports_have_the_network_that_is_trained_by_default(root: Path):
    """inference.yaml describes it for MONAI's tools alone: a run takes network and preprocessing from the model."""
    train, inference = load(root, "train.yaml"), load(root, "inference.yaml")
    for name in ("network_def", "shallow_size", *OPTIONS):
        assert inference[name] == train[name], f"bundle/configs/inference.yaml: {name} is another than in train.yaml"
    assert "detailed_size" not in inference, "the views are the model's"


def test_evaluating_looks_at_every_split_in_one_way(root: Path):
    config = load(root, "evaluate.yaml")
    for split in ("fit", "training_images"):
        assert config[split]["predictions"] == "$@collect#predictions()"
        assert "@collect#evaluator(" in config[split]["evaluator"]
        assert "@collect#dataloader(" in config[split]["evaluator"]


def test_metadata_names_the_views_size_and_the_locked_versions(root: Path):
    meta = json.loads((root / "bundle/configs/metadata.json").read_text())
    image = meta["network_data_format"]["inputs"]["image"]
    train = load(root, "train.yaml")
    assert image["spatial_shape"] == train["detailed_size"]
    black, white = (
        [(value - mean) / std for mean, std in zip(train["image_mean"], train["image_std"], strict=True)]
        for value in (0, 1)
    )
    assert image["value_range"] == pytest.approx([min(black), max(white)], abs=1e-3)
    lock = dict(line.split("==") for line in (root / "constraints.txt").read_text().splitlines() if "==" in line)
    required = {**meta["required_packages_version"], "torch": meta["pytorch_version"], "monai": meta["monai_version"]}
    del required["fetal_monai"]  # of this version: test_model_zoo.py
    assert {name: lock[name] for name in required} == required


def overlays(root: Path, folder: str) -> list[str]:
    return sorted(f"{folder}/{path.name}" for path in (root / "bundle/configs" / folder).glob("*.yaml"))


def test_frames_are_standardised_as_the_published_weights_expect(root: Path):
    """By their code releases: EfficientNet-Lite on (x - 127) / 128, all others with ImageNet's statistics."""
    imagenet, symmetric = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5,) * 3, (0.5,) * 3)
    for overlay in ([], *([name] for name in overlays(root, "networks"))):
        parser = ConfigParser()
        parser.read_config([str(root / "bundle/configs" / name) for name in ("train.yaml", *overlay)])
        with torch.device("meta"):
            network = parser.get_parsed_content("network_def")
        backbones = [child for name, child in network.named_children() if name.startswith("backbone")]
        expected = [symmetric if "lite" in backbone.architecture else imagenet for backbone in backbones]
        (views,) = parser.get_parsed_content("views")
        assert [(views.mean, views.std)] * len(backbones) == expected, overlay
        if overlay:
            assert {"image_mean", "image_std"} <= load(root, *overlay).keys(), "no overlay lives off another's values"


@pytest.mark.parametrize("name", ["train", "validate"])
def test_handlers_are_a_plain_list_of_dicts(root: Path, name: str):
    """References or expressions in it break MONAI Label and MLflow tracking."""
    handlers = load(root, "train.yaml")[name]["handlers"]
    assert all(isinstance(handler, dict) and "_target_" in handler for handler in handlers)


def test_every_overlay_parses_and_names_classes_that_exist(root: Path):
    for path in sorted((root / "bundle/configs").glob("*/*.yaml")):
        parser = ConfigParser()
        parser.read_config([str(root / "bundle/configs/train.yaml"), str(path)])
        parser.parse()
        for item in parser.ref_resolver.items.values():
            target = item.get_config().get("_target_") if isinstance(item.get_config(), dict) else None
            if isinstance(target, str) and "." in target:
                module, _, attribute = target.rpartition(".")
                assert hasattr(__import__(module, fromlist=[attribute]), attribute), f"{path.name}: {target}"


@pytest.mark.parametrize(("kind", "config"), [("train", "train.yaml"), ("infer", "inference.yaml")])
def test_no_required_property_is_missing(workflow, phantom, tmp_path, kind, config):
    flow = workflow(kind, config, dataset_dir=str(phantom), ckpt_dir=str(tmp_path), output_dir=str(tmp_path))
    flow.initialize()
    assert flow.check_properties() == []


def test_tracking_by_mlflow_finds_its_places(workflow, phantom, tmp_path):
    """MONAI appends its handler at the ids that bundles have by convention."""
    flow = workflow("train", "train.yaml", dataset_dir=str(phantom), output_dir=str(tmp_path), tracking="mlflow")
    for place in ("train#handlers", "validate#handlers"):
        assert flow.parser[place][-1]["_target_"] == "MLFlowHandler"


@pytest.mark.filterwarnings("ignore:No hash value provided:UserWarning")  # the schema is at hand, not downloaded
def test_metadata_fits_the_model_zoos_schema(root: Path, tmp_path):
    schema = root.parent / "shared" / SCHEMA
    if not schema.exists():
        pytest.skip("needs the Model Zoo's schema, which is not shipped")
    verify_metadata(meta_file=str(root / "bundle/configs/metadata.json"), filepath=str(schema))


def test_the_networks_input_and_output_are_what_metadata_says(root: Path, tiny: Path):
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(root / "bundle/configs/metadata.json"),
        config_file=[str(root / "bundle/configs/inference.yaml"), str(tiny)],
        device="cpu",
    )


def test_the_torchscript_export_is_the_network(root: Path, tiny: Path, trained, tmp_path):
    weights, network = trained
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(weights),
        meta_file=str(root / "bundle/configs/metadata.json"),
        config_file=[str(root / "bundle/configs/inference.yaml"), str(tiny)],
        key_in_ckpt="",
    )
    exported = torch.jit.load(tmp_path / "model.ts").eval()
    image = torch.randn(2, 3, 528, 528)
    with torch.inference_mode():
        torch.testing.assert_close(exported(image), network(image), rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_the_onnx_export_is_the_network(root: Path, tiny: Path, trained, tmp_path):
    weights, network = trained
    onnx_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(weights),
        meta_file=str(root / "bundle/configs/metadata.json"),
        config_file=[str(root / "bundle/configs/inference.yaml"), str(tiny)],
        key_in_ckpt="",
    )
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    image = torch.randn(1, 3, 528, 528)
    (logits,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.inference_mode():
        expected = network(image).numpy()
    assert np.abs(expected).max() > 1e-2, "a dead network would agree with anything"
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
