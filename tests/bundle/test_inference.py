"""inference.yaml gives the numbers of `Predictor`, whatever the model was trained with and whatever overlays say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import list_data_collate

from fetal_monai.data import list_frames
from fetal_monai.errors import find_user_error
from fetal_monai.handlers import EvaluationWriter
from fetal_monai.inference import Predictor
from fetal_monai.model.calibration import Calibration
from fetal_monai.model.description import describe_model
from fetal_monai.model.facts import write_facts

REFERENCE, PLANES = "recipes/reference.yaml", "datasets/fetal_planes.yaml"
SINGLE = {
    "shallow_size": None,
    "network_def": {
        "_target_": "fetal_monai.networks.SingleBranchClassifier",
        "num_classes": "@num_classes",
        "backbone": {"_target_": "fetal_monai.networks.ResNetBackbone", "depth": 18},
    },
}
MODELS = {  # overlays and options of a training
    "default": ([], {}),
    "no banner": ([], {"banner_fraction": 0.0}),
    "reference": ([REFERENCE], {}),
    "one view, other classes": ([PLANES], SINGLE),
}
FOREIGN = ["networks/effnet_b7.yaml", "datasets/fetal_planes.yaml", REFERENCE, "losses/focal.yaml"]


@pytest.fixture(scope="module")
def study(phantom, tmp_path_factory) -> Path:
    """Some stills and a clip."""
    folder = tmp_path_factory.mktemp("study")
    files = sorted((phantom / "dicom").glob("*.dcm"), key=lambda path: path.stat().st_size)
    for path in (*files[:5], files[-1]):
        (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module", params=MODELS)
def model(request, root, tiny, study, tmp_path_factory) -> tuple[Path, list[str], dict]:
    """What a training under that configuration leaves, but for weights that tell images apart at once."""
    overlays, options = MODELS[request.param]
    parser = ConfigParser()
    parser.read_config(
        [root / "bundle/configs/train.yaml", tiny, *(root / "bundle/configs" / name for name in overlays)]
    )
    parser.update(options)
    content = parser.get_parsed_content
    torch.manual_seed(0)
    network, names = content("network_def"), content("class_names")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.2, 0.6)
    chain = content("validate#preprocessing")
    batch = list_data_collate([chain(item) for item in list_frames(study)])
    with torch.no_grad():
        logits = network.eval()(*(batch[key] for key in ("image", "image_shallow") if key in batch))
        network.head.weight.div_(logits.std(dim=0)[:, None])
        network.head.bias.sub_(logits.mean(dim=0)).div_(logits.std(dim=0))
    folder = tmp_path_factory.mktemp("model")
    torch.save(network.state_dict(), folder / "model.pt")
    write_facts(folder, describe_model(network, content("validate#preprocessing"), names))
    return folder, overlays, options


def infer(root: Path, configs: list[Path | str], study: Path, model: Path, out: Path, **options) -> pd.DataFrame:
    flow = ConfigWorkflow(
        config_file=[str(root / "bundle/configs" / name) for name in ("inference.yaml", *configs)],
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(root / "bundle"),
        dataset_dir=str(study),
        ckpt_dir=str(model),
        output_dir=str(out),
        **{"num_workers": 0, **options},
    )
    flow.initialize()
    flow.run()
    flow.finalize()
    return pd.read_csv(out / "predictions.csv", dtype={"SOPInstanceUID": str})


def predicted(model: Path, study: Path) -> tuple[list[str], dict]:
    predictor = Predictor(model, device="cpu")
    found = predictor.predict(item["image"] for item in list_frames(study))
    return list(predictor.class_names), {(item.sop_instance_uid, item.frame): item.probabilities for item in found}


@pytest.mark.parametrize("given", ["nothing", "its own", "another's"])
def test_gives_the_predictors_probabilities(root, tiny, model, study, tmp_path, given):
    folder, overlays, options = model
    configs, options = {
        "nothing": ([], {}),
        "its own": ([tiny, *overlays], options),
        "another's": (FOREIGN, {"banner_fraction": 0.5, "image_mean": [0.1] * 3, "batch_size": 2, "num_workers": 1}),
    }[given]
    names, expected = predicted(folder, study)
    table = infer(root, configs, study, folder, tmp_path, **options)
    assert list(table.columns[-len(names) :]) == names
    assert set(zip(table.SOPInstanceUID, table.frame, strict=True)) == set(expected)
    for uid, frame, *_, row in zip(table.SOPInstanceUID, table.frame, table[names].to_numpy(), strict=True):
        np.testing.assert_allclose(row, expected[uid, frame], atol=5e-5)  # float32, in batches of another size
    assert np.std(list(expected.values()), axis=0).max() > 0.02, "the images must not all look the same to this model"


def test_calibration_of_the_model_folder_is_applied(root, model, study, tmp_path):
    folder, *_ = model
    names, before = predicted(folder, study)
    path = folder / "calibration.json"
    Calibration("temperature", tuple(names), (0.3,) * len(names), (0.0,) * len(names)).write_json(path)
    _, expected = predicted(folder, study)
    table = infer(root, [], study, folder, tmp_path)
    path.unlink()
    for uid, frame, row in zip(table.SOPInstanceUID, table.frame, table[names].to_numpy(), strict=True):
        np.testing.assert_allclose(row, expected[uid, frame], atol=1e-5)
        assert np.abs(row - before[uid, frame]).max() > 1e-3


def test_no_overlay_touches_what_a_run_uses(root):
    def parse(*names: str) -> dict:
        parser = ConfigParser()
        parser.read_config([str(root / "bundle/configs" / name) for name in ("inference.yaml", *names)])
        return parser.get()

    plain = parse()
    used = [
        "initialize",
        "read_and_prepare",
        "dataset",
        "dataloader",
        "inferer",
        "postprocessing",
        "handlers",
        "evaluator",
        "run",
    ]
    for folder in ("datasets", "losses", "networks", "recipes"):
        for path in (root / "bundle/configs" / folder).glob("*.yaml"):
            config = parse(f"{folder}/{path.name}")
            assert {name: config[name] for name in used} == {name: plain[name] for name in used}, path


def test_a_missing_model_is_told_as_that(root, study, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        infer(root, [], study, tmp_path / "none", tmp_path)
    assert "a model folder holds model.pt and model.json" in str(find_user_error(caught.value))


def test_a_writer_without_classes_or_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="give class_names, or a model_dir"):
        EvaluationWriter(tmp_path)
