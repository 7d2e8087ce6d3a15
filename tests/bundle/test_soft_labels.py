"""A training from probabilities: what the loss sees, and what everything else sees."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from ignite.engine import Events

pytestmark = pytest.mark.thorough


@pytest.fixture
def soft_csv(phantom, tmp_path):
    """The phantom's labels, each 0.7 sure; the rest is on `Other`."""
    table = pd.read_csv(phantom / "annotations.csv", dtype=str)
    for name in sorted({*table["class"], "Other"}):
        table[f"p:{name}"] = 0.7 * (table["class"] == name) + 0.3 * (name == "Other")
    table.loc[table["class"] == "Other", "p:Other"] = 1.0
    table.to_csv(tmp_path / "soft.csv", index=False)
    return str(tmp_path / "soft.csv")


def run(start, out, *overlays, **options):
    """The labels that trainer and evaluator saw, with those of the batch, and the workflow."""
    flow = start(out, *overlays, max_epochs=1, **options)
    get = flow.parser.get_parsed_content
    seen = {"train": [], "val": []}
    for kind, engine in (("train", get("train#trainer")), ("val", get("validate#evaluator"))):
        engine.add_event_handler(
            Events.ITERATION_COMPLETED,
            lambda engine, kind=kind: seen[kind].append((engine.state.output["label"], engine.state.batch["label"])),
        )
    flow.run()
    return {kind: [torch.cat(part) for part in zip(*pairs, strict=True)] for kind, pairs in seen.items()}, flow


@pytest.mark.parametrize(
    "overlays",
    [
        (),
        ("networks/lite0.yaml", "recipes/best.yaml"),
        ("losses/logit_adjusted.yaml", "recipes/drw.yaml", "recipes/class_aware_sampling.yaml"),
        ("recipes/auxiliary_heads.yaml", "recipes/all_images.yaml"),
    ],
    ids=["default", "best", "sampling and weights", "auxiliary heads on all images"],
)
def test_the_loss_sees_probabilities_and_all_else_the_class(overlays, start, soft_csv, tmp_path):
    options = {"warmup_epochs": 0, "average_flips": 0, "batch_size": 8} if "recipes/best.yaml" in overlays else {}
    options |= {"keep": "last"}
    seen, flow = run(start, tmp_path, *overlays, annotations=soft_csv, **options)
    soft, hard = seen["train"]
    assert soft.dtype == torch.float32
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(len(soft)))
    assert torch.equal(soft.argmax(dim=1), hard)
    assert ((soft > 0).sum(dim=1) == 2).any()
    assert torch.equal(*seen["val"]), "validation is held to the class"
    assert seen["val"][0].dtype == torch.int64
    assert (tmp_path / "model/model.pt").exists()
    assert sum(flow.parser.get_parsed_content("class_counts")) == len(
        flow.parser.get_parsed_content("train#dataset#data")
    )


@pytest.mark.parametrize("recipe", ["mixup", "cutmix"])
def test_mixing_starts_from_the_probabilities(recipe, start, soft_csv, tmp_path):
    seen, _ = run(start, tmp_path, f"recipes/{recipe}.yaml", annotations=soft_csv)
    soft, _ = seen["train"]
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(len(soft)))
    assert ((soft > 0).sum(dim=1) == 3).any(), "two classes and Other, which was in both"


def test_certain_probabilities_train_as_classes_do(start, phantom, tmp_path):
    table = pd.read_csv(phantom / "annotations.csv", dtype=str)
    for name in sorted(set(table["class"])):
        table[f"p:{name}"] = (table["class"] == name).astype(int)
    table.to_csv(tmp_path / "certain.csv", index=False)
    options = {"loss": {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.1}}
    states = []
    for name, labels in (("soft", tmp_path / "certain.csv"), ("hard", phantom / "annotations.csv")):
        seen, flow = run(start, tmp_path / name, annotations=str(labels), **options)
        assert seen["train"][0].is_floating_point() == (name == "soft")
        states.append(flow.parser.get_parsed_content("network").state_dict())
    torch.testing.assert_close(states[0], states[1], rtol=1e-3, atol=1e-5)
