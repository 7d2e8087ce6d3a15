"""A resumed training goes on as if it had never stopped, or says why it cannot."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from monai.bundle import ConfigWorkflow

from fetal_monai.errors import InputError, find_user_error

pytestmark = pytest.mark.thorough

# Of a schedule over one epoch, and what a run that goes on with it says when it has this option instead.
OTHER_OPTIONS = [
    (
        {"max_epochs": 3},
        "lr_scheduler.T_max: 1 in the checkpoint, 3 in this run (made for 1 epoch; over 3 it would",
    ),
    ({"batch_size": 4}, "epoch_length: 4 in the checkpoint, 8 in this run (iterations of an epoch: the batch size or"),
    ({"learning_rate": 5e-4}, "optimizer[0].lr: 0.0001 in the checkpoint, 0.0005 in this run; give the options of the"),
    ({"accumulate": 2}, "accumulate: none in the checkpoint, 2 in this run; give the options of the first"),
    (
        {"lr_scheduler": None},
        "lr_scheduler: one in the checkpoint, none in this run; give the options of the first",
    ),
]


def refusal(flow: ConfigWorkflow) -> InputError:
    with pytest.raises(RuntimeError) as caught:
        flow.run()
    found = find_user_error(caught.value)
    assert isinstance(found, InputError)
    return found


def last(out: Path) -> dict[str, Any]:
    return torch.load(out / "model" / "last.pt", weights_only=True)


def make_former(out: Path) -> None:
    """Take out of the checkpoint what former versions did not store."""
    content = last(out)
    del content["started_with"]
    content.pop("scaler", None)
    torch.save(content, out / "model" / "last.pt")


def assert_same_end(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one["network"].items():
        assert torch.equal(value, other["network"][name]), name
    for ours, theirs in zip(one["optimizer"]["state"].values(), other["optimizer"]["state"].values(), strict=True):
        assert torch.equal(ours["exp_avg"], theirs["exp_avg"])


@pytest.fixture(scope="module")
def stopped(start, tmp_path_factory):
    """The checkpoint of a training with a schedule over its one epoch."""
    out = tmp_path_factory.mktemp("stopped")
    start(out, "recipes/quick.yaml", max_epochs=1).run()
    return (out / "model" / "last.pt").read_bytes()


@pytest.mark.parametrize("former", [False, True], ids=["", "of a former version"])
@pytest.mark.parametrize(("override", "said"), OTHER_OPTIONS)
def test_other_options_are_refused_by_name(start, stopped, tmp_path, override, said, former):
    path = tmp_path / "model" / "last.pt"
    path.parent.mkdir()
    path.write_bytes(stopped)
    if former:
        make_former(tmp_path)
    content = path.read_bytes()
    problems = refusal(start(tmp_path, "recipes/quick.yaml", **{"resume": True, "max_epochs": 1, **override})).problems
    assert len(problems) == 1
    assert said in problems[0]
    assert problems[0].endswith("or start afresh with --overwrite True")
    assert path.read_bytes() == content


@pytest.mark.filterwarnings("ignore:CUDA is not available:UserWarning")  # the scaler matters here, on a CPU too
def test_more_epochs_without_a_schedule_end_where_an_uninterrupted_training_does(start, tmp_path, monkeypatch):
    """With a gradient scaler, whose scale doubles every other iteration: 8, 16, 32 after the first epoch of four."""
    monkeypatch.setattr(
        torch.cuda.amp, "GradScaler", partial(torch.amp.GradScaler, "cpu", init_scale=8.0, growth_interval=2)
    )
    start(tmp_path / "whole", amp=True, max_epochs=2).run()
    start(tmp_path / "parts", amp=True, max_epochs=1).run()
    assert last(tmp_path / "parts")["scaler"]["scale"] == 32
    start(tmp_path / "parts", amp=True, max_epochs=2, resume=True).run()
    assert_same_end(last(tmp_path / "whole"), last(tmp_path / "parts"))
    assert last(tmp_path / "parts")["scaler"]["scale"] == 128


def test_another_order_of_classes_is_refused(start, stopped, phantom, tmp_path, class_names):
    path = tmp_path / "model" / "last.pt"
    path.parent.mkdir()
    path.write_bytes(stopped)
    names = class_names[::-1]
    table = pd.read_csv(phantom / "annotations.csv", dtype=str)
    table.assign(class_int=table["class"].map(names.index)).to_csv(tmp_path / "turned.csv", index=False)
    options = {"resume": True, "max_epochs": 1, "class_names": names, "annotations": str(tmp_path / "turned.csv")}
    problem, weights = refusal(start(tmp_path, "recipes/quick.yaml", **options)).problems
    assert problem.startswith(
        f"class_names: {', '.join(class_names)} in the checkpoint, {', '.join(names)} in this run"
    )
    assert weights.startswith("recipe.loss.weight: [")
    assert path.read_bytes() == stopped


def test_another_recipe_is_refused(start, stopped, tmp_path):
    path = tmp_path / "model" / "last.pt"
    path.parent.mkdir()
    path.write_bytes(stopped)
    overlays = "recipes/quick.yaml", "losses/ldam_focal.yaml", "recipes/mixup.yaml", "recipes/class_aware_sampling.yaml"
    problems = refusal(start(tmp_path, *overlays, resume=True, max_epochs=1)).problems
    assert [problem.partition(" in this run")[0] for problem in problems] == [
        "recipe.batches: SoftLabels in the checkpoint, MixedBatches",
        "recipe.loss: CrossEntropyLoss in the checkpoint, LDAMFocalLoss",
        "recipe.weighted_sampling: False in the checkpoint, True",
    ]
    assert path.read_bytes() == stopped


@pytest.mark.parametrize("override", [{"overwrite": "false"}, {"overwrite": "no"}, {"resume": "false"}])
def test_a_word_for_false_is_not_taken_for_true(start, stopped, tmp_path, override):
    path = tmp_path / "model" / "last.pt"
    path.parent.mkdir()
    path.write_bytes(stopped)
    with pytest.raises(RuntimeError) as caught:
        start(tmp_path, "recipes/quick.yaml", max_epochs=1, **override)
    ((name, word),) = override.items()
    assert f"{name} is '{word}', a word; write True or False" in str(find_user_error(caught.value))
    assert path.read_bytes() == stopped


def test_a_checkpoint_that_is_cut_off_is_called_so(start, stopped, tmp_path):
    path = tmp_path / "model" / "last.pt"
    path.parent.mkdir()
    path.write_bytes(stopped[: len(stopped) // 2])
    (problem,) = refusal(start(tmp_path, "recipes/quick.yaml", resume=True, max_epochs=1)).problems
    assert "damaged or cut off" in problem
    assert "copy it again" in problem


def test_a_checkpoint_of_a_former_version_resumes(start, tmp_path):
    start(tmp_path / "whole", max_epochs=2).run()
    start(tmp_path / "parts", max_epochs=1).run()
    make_former(tmp_path / "parts")
    start(tmp_path / "parts", max_epochs=2, resume=True).run()
    assert_same_end(last(tmp_path / "whole"), last(tmp_path / "parts"))
    assert last(tmp_path / "whole")["started_with"] == last(tmp_path / "parts")["started_with"]


def test_the_average_of_a_resumed_training_is_that_of_an_uninterrupted_one(start, tmp_path):
    start(tmp_path / "whole", "recipes/ema.yaml", max_epochs=2).run()
    start(tmp_path / "parts", "recipes/ema.yaml", max_epochs=1).run()
    start(tmp_path / "parts", "recipes/ema.yaml", max_epochs=2, resume=True).run()
    whole, parts = (last(tmp_path / out)["ema"] for out in ("whole", "parts"))
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name
