"""`fetal-monai import-weights`: from a checkpoint of the reference to a model folder with the same logits."""

from pathlib import Path

import pytest
import torch
import typer.testing
from torch import nn

from fetal_monai.cli import app
from fetal_monai.model.folder import load_model

ROOT = Path(__file__).parents[2]
CLI = typer.testing.CliRunner()


@pytest.fixture
def reference_checkpoint(tmp_path, randomise):
    """EfficientNet-B0 and B6 of the package and a head, saved as the reference saves its network."""
    package = pytest.importorskip("efficientnet_pytorch")
    torch.manual_seed(0)
    network = nn.Module()
    network.backbone_shallow = package.EfficientNet.from_name("efficientnet-b0")  # its classifier comes along
    network.backbone_detailed = package.EfficientNet.from_name("efficientnet-b6", include_top=False)
    network.head = nn.Linear(1280 + 2304, 16)
    randomise(network)
    path = tmp_path / "best_model.pth"
    torch.save(network.state_dict(), path)
    return network, path


def test_reference_checkpoint_gives_the_same_logits(reference_checkpoint, tmp_path):
    """The default network at its native views, through the command line and back from the model folder."""
    network, path = reference_checkpoint
    out = tmp_path / "model" / "model.pt"
    command = ["import-weights", str(path), "--network", "effnet_b0_b6", "--out", str(out)]
    command += ["--config", str(ROOT / "bundle/configs/recipes/reference.yaml")]
    result = CLI.invoke(app, command)
    assert result.exit_code == 0, result.output
    ours, preprocessing, facts = load_model(out.parent)
    assert len(facts.class_names) == 16
    assert not any(transform.antialias for transform in preprocessing.transforms if hasattr(transform, "antialias"))
    shallow, detailed = torch.rand(1, 3, 224, 224) * 2 - 1, torch.rand(1, 3, 528, 528) * 2 - 1
    with torch.inference_mode():
        pooled = [
            network.backbone_shallow.extract_features(shallow).mean((2, 3)),
            network.backbone_detailed.extract_features(detailed).mean((2, 3)),
        ]
        expected = network.head(torch.cat(pooled, dim=1))
        logits = ours(detailed, shallow)
    assert expected.std() > 1e-2
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    result = CLI.invoke(app, [*command, "--bundle", str(ROOT / "bundle")])
    assert result.exit_code == 1
    assert "add --overwrite" in result.output


def test_import_names_the_known_networks(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(nn.Linear(1, 1).state_dict(), path)
    arguments = ["--out", str(tmp_path / "model.pt"), "--bundle", str(ROOT / "bundle")]
    result = CLI.invoke(app, ["import-weights", str(path), "--network", "effnet_b0_b9", *arguments])
    assert result.exit_code == 1
    assert "known are effnet_b0_b6, effnet_b7, lite0, lite0_lite0" in result.output
    result = CLI.invoke(app, ["import-weights", str(path), "--network", "resnet18", *arguments])
    assert result.exit_code == 1
    assert "missing" in result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.pth"]
