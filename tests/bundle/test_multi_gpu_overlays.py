"""The overlays for several processes: asked for where one is missing, refused where one does not belong."""

from __future__ import annotations

import pytest
from monai.bundle import ConfigWorkflow

from fetal_monai.errors import FetalMonaiError, find_user_error


@pytest.mark.parametrize(
    ("configs", "overlay"),
    [
        (["train.yaml"], "multi_gpu_train.yaml"),
        (["train.yaml", "evaluate.yaml"], "multi_gpu_evaluate.yaml"),
        (["train.yaml", "multi_gpu_train.yaml", "evaluate.yaml"], "multi_gpu_evaluate.yaml"),
    ],
)
def test_several_processes_without_the_overlay_are_refused(workflow, phantom, tmp_path, monkeypatch, configs, overlay):
    monkeypatch.setenv("WORLD_SIZE", "2")
    flow = workflow("train", *configs, dataset_dir=str(phantom), ckpt_dir=str(tmp_path), output_dir=str(tmp_path))
    with pytest.raises(RuntimeError) as caught:
        flow.initialize()
    found = find_user_error(caught.value)
    assert type(found) is FetalMonaiError
    assert "torchrun started 2 processes, and this configuration is for one" in str(found)
    assert f"add 'bundle/configs/{overlay}' as the last of --config_file" in str(found)
    assert not list(tmp_path.iterdir())


def test_inference_by_several_processes_is_refused(root, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = str(root / "bundle/configs/inference.yaml")
    flow = ConfigWorkflow(config, workflow_type="infer", logging_file=False, output_dir=str(tmp_path / "out"))
    with pytest.raises(RuntimeError) as caught:
        flow.initialize()
    assert "share the work by fetal-monai predict --ray, or start it without" in str(find_user_error(caught.value))


@pytest.mark.parametrize(
    ("environment", "options", "said"),
    [
        ({}, {}, "torchrun starts them: torchrun --nproc_per_node 2 -m monai.bundle"),
        (
            {"TORCHELASTIC_RUN_ID": "1", "TORCHELASTIC_MAX_RESTARTS": "3"},
            {},
            "would start this training anew from its first epoch; add --resume True",
        ),
    ],
    ids=["without torchrun", "restarts that do not resume"],
)
def test_the_overlay_is_refused(workflow, phantom, tmp_path, monkeypatch, environment, options, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    flow = workflow("train", "train.yaml", "multi_gpu_train.yaml", dataset_dir=str(phantom), **options)
    with pytest.raises(RuntimeError) as caught:
        flow.initialize()
    assert said in str(find_user_error(caught.value))


def test_overlays_and_recipes_go_together(workflow, phantom, tmp_path):
    """Nothing that a recipe sets is lost: they may come before or after."""
    for recipes in (["recipes/ema.yaml", "recipes/clip_gradients.yaml", "recipes/drw.yaml"],):
        flow = workflow("train", "train.yaml", *recipes, "multi_gpu_train.yaml", dataset_dir=str(phantom))
        handlers = [handler["_target_"].rpartition(".")[2] for handler in flow.parser["train#handlers"]]
        assert {"DeferredReweighting", "GlobalBatchLoss", "TrainingCheckpoint"} <= set(handlers)
        assert any("@ema.attach" in step for step in flow.parser["before_training"])
        steps = flow.parser["initialize"]
        assert steps.index("$@process_group") < steps.index("$monai.utils.set_determinism(seed=@seed)")
