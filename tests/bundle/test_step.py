"""The switches of the training step: each changes what a step costs, and as little as can be of what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from ignite.engine import Events

from fetal_monai.errors import FetalMonaiError, find_user_error

pytestmark = pytest.mark.thorough

SGD = {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": 0.1}
# BatchNorm at rest and nothing random, so that a batch is the sum of its parts.
PLAIN = {
    "freeze_backbones": True,
    "augmentation": [],
    "optimizer": SGD,
    "loss": {"_target_": "torch.nn.CrossEntropyLoss"},
    "max_epochs": 1,
}


def weights(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / "model" / "last.pt", weights_only=True)["network"]


def losses(flow: Any) -> list[float]:
    """Run a training and return the loss of each iteration."""
    found: list[float] = []
    trainer = flow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: found.append(engine.state.output["loss"].item())
    )
    flow.run()
    return found


def test_accumulated_batches_are_one_large_batch(start, tmp_path):
    one = losses(start(tmp_path / "one", **PLAIN, batch_size=8))
    two = losses(start(tmp_path / "two", **PLAIN, batch_size=4, accumulate=2))
    assert len(one) == 4
    assert len(two) == 8
    torch.testing.assert_close([sum(two[i : i + 2]) / 2 for i in range(0, 8, 2)], one, rtol=1e-4, atol=1e-5)
    small = losses(start(tmp_path / "small", **PLAIN, batch_size=4))
    assert abs(small[3] - two[3]) > 1e-3, "four steps of small batches are something else"
    torch.testing.assert_close(weights(tmp_path / "two"), weights(tmp_path / "one"), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_compiled_training_is_the_same_and_saves_the_plain_network(start, tmp_path):
    """`aot_eager` goes all the way but for the C++ compiler, which not every machine has."""
    plain = losses(start(tmp_path / "plain", max_epochs=1))
    compiled = losses(start(tmp_path / "compiled", max_epochs=1, compile=True, compile_kwargs={"backend": "aot_eager"}))
    assert compiled[0] == pytest.approx(plain[0], rel=1e-4)
    assert compiled == pytest.approx(plain, rel=5e-2)
    assert weights(tmp_path / "compiled").keys() == weights(tmp_path / "plain").keys()
    state = torch.load(tmp_path / "compiled" / "model" / "model.pt", weights_only=True)
    assert not [name for name in state if "_orig_mod" in name]
    start(tmp_path / "compiled", max_epochs=2, resume=True).run()


@pytest.mark.slow
def test_channels_last_is_one_switch(start, tmp_path):
    flow = start(tmp_path / "last", max_epochs=1, channels_last=True)
    network = flow.parser.get_parsed_content("network")
    kernels = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size[0] > 1]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    last, first = losses(flow), losses(start(tmp_path / "first", max_epochs=1))
    assert last[0] == pytest.approx(first[0], rel=1e-4)
    assert last == pytest.approx(first, rel=5e-2), "Adam makes much of the least gradients, and of their rounding"


def test_best_has_it_on(root):
    recipe = yaml.safe_load((root / "bundle/configs/recipes/best.yaml").read_text())
    assert recipe["channels_last"] is True
    assert "network" not in recipe


@pytest.mark.slow
def test_recomputed_activations_end_in_the_same_network(start, tmp_path):
    kept = losses(start(tmp_path / "kept", max_epochs=1))
    again = losses(start(tmp_path / "again", max_epochs=1, checkpoint_activations=True))
    assert again == pytest.approx(kept, rel=1e-5)
    torch.testing.assert_close(weights(tmp_path / "again"), weights(tmp_path / "kept"), rtol=1e-3, atol=1e-5)


def test_recomputing_what_cannot_be_is_refused(start, tmp_path):
    network = {
        "_target_": "fetal_monai.networks.SingleBranchClassifier",
        "num_classes": "@num_classes",
        "backbone": {"_target_": "fetal_monai.networks.ResNetBackbone", "depth": 18},
    }
    with pytest.raises((RuntimeError, FetalMonaiError)) as caught:
        start(tmp_path, network_def=network, checkpoint_activations=True).run()
    assert "only EfficientNets can recompute theirs" in str(find_user_error(caught.value))


@pytest.mark.slow
def test_a_training_goes_on_with_a_fused_optimizer(start, tmp_path):
    """As when one that began on a GPU goes on on a CPU, or the other way round."""
    start(tmp_path / "plain", max_epochs=1).run()
    flow = start(tmp_path / "plain", max_epochs=2, resume=True, fused=True)
    assert flow.parser.get_parsed_content("optimizer").param_groups[0]["fused"] is True
    flow.run()
    start(tmp_path / "whole", max_epochs=2, fused=True).run()
    # BatchNorm's running means differ most, by processor.
    torch.testing.assert_close(weights(tmp_path / "plain"), weights(tmp_path / "whole"), rtol=2e-2, atol=5e-3)


def test_gradients_are_clipped_by_a_step_that_is_not_fused(root):
    """GradScaler leaves it to a fused step to unscale: a hook before it would clip what is still scaled."""
    assert yaml.safe_load((root / "bundle/configs/recipes/clip_gradients.yaml").read_text())["fused"] is False


def test_the_type_of_short_floats_is_one_switch(start, tmp_path):
    flow = start(tmp_path, amp_dtype="$torch.float16")
    for engine in ("train#trainer", "validate#evaluator"):
        assert flow.parser.get_parsed_content(engine).amp_kwargs == {"dtype": torch.float16}
        assert flow.parser.get_parsed_content(engine).non_blocking is False, "there is nothing to copy to on a CPU"


@pytest.mark.slow
@pytest.mark.parametrize("caches", [{"cache_rate": 0.0}, {"cache_rate": 0.0, "cache_dir": True}, {"cache_rate": 0.4}])
def test_caches_change_nothing_of_a_training(start, tmp_path, caches):
    if "cache_dir" in caches:
        caches = {**caches, "cache_dir": str(tmp_path / "cache")}
    flow = start(tmp_path / "memory", cache_rate=1.0)
    whole = losses(flow)
    assert losses(start(tmp_path / "other", **caches)) == whole
    if "cache_dir" in caches:
        datalists = flow.parser.get_parsed_content("datalists")
        assert len(list((tmp_path / "cache").rglob("*.npy"))) == len(datalists["train"] + datalists["val"])
        assert losses(start(tmp_path / "again", **caches)) == whole


def test_a_small_view_that_the_network_makes_is_the_loaders(start, tmp_path):
    made = losses(start(tmp_path / "loader", max_epochs=1))
    flow = start(tmp_path / "network", max_epochs=1, shallow_in_network=True)
    get = flow.parser.get_parsed_content
    assert "image_shallow" not in get("train#dataset")[0]
    assert "image_shallow" in get("validate#dataset")[0], "what is recorded with the model stays as it was"
    assert losses(flow) == made


def test_a_small_view_of_the_frame_itself_stays_with_the_loader(start, tmp_path):
    views = {
        "_target_": "fetal_monai.transforms.DualResolutiond",
        "keys": "image",
        "detailed_size": "@detailed_size",
        "shallow_size": "@shallow_size",
        "shallow_from": "frame",
    }
    flow = start(tmp_path, views=[views], shallow_in_network=True)
    assert "image_shallow" in flow.parser.get_parsed_content("train#dataset")[0]
