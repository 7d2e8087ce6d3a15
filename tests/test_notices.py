"""What a newcomer sees first: nothing that they cannot act on, and everything that they can."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from fetal_monai.errors import InputError
from fetal_monai.run import only_ours
from fetal_monai.utils import notices
from fetal_monai.utils.notices import quiet_known_notices
from fetal_monai.utils.settings import refuse_wrong_settings

pytestmark = pytest.mark.thorough

OTHERS = re.compile(r"GHSA|Not all config files|nvImageCodec|[Dd]eprecat|Traceback|\w+Warning\b")


@pytest.fixture
def fresh():
    """The filters of this process, put back afterwards."""
    loggers = [logging.getLogger(name) for name in (*(name for name, _ in notices._LOGGED), *notices._OF_RUNS)]
    kept = [list(logger.filters) for logger in loggers]
    with warnings.catch_warnings(record=True) as shown:
        warnings.resetwarnings()
        yield shown
    for logger, filters in zip(loggers, kept, strict=True):
        logger.filters[:] = filters


def first_screen(module: list[str], data: Path, cwd: Path, *configs: Path) -> str:
    names = "[" + ",".join(f"'{path}'" for path in configs) + "]"
    folders = ["--dataset_dir", str(data), "--ckpt_dir", "model", "--output_dir", "evaluation", "--num_workers", "0"]
    few = ["--max_epochs", "1", "--train#trainer#epoch_length", "1", "--validate#evaluator#epoch_length", "1"]
    command = [sys.executable, "-m", *module, "training", "--config_file", names, *folders, *few]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model folder: model" in done.stdout
    return done.stdout + done.stderr


def test_a_run_begins_with_what_a_newcomer_can_act_on(root, phantom, tiny_network, tmp_path):
    tiny = tmp_path / "tiny.yaml"
    tiny.write_text(tiny_network)
    told = first_screen(["fetal_monai", "run"], phantom, tmp_path, root / "bundle/configs/train.yaml", tiny)
    notices_shown = [line for line in told.splitlines() if OTHERS.search(line)]
    assert len(notices_shown) == 1, notices_shown
    assert "Only proceed if this config is from a source you trust" in notices_shown[0], (
        "tiny.yaml is not of the package"
    )
    assert "the backbones start from random weights" in told


def test_the_trust_notice_is_left_out_for_our_own_files_alone(root, tmp_path):
    ours = str(root / "bundle/configs/train.yaml")
    assert only_ours(["training", "--config_file", ours, "--max_epochs", "3"])
    assert only_ours([f"--config_file=['{ours}','{root}/bundle/configs/recipes/quick.yaml']"])
    mine = tmp_path / "bundle/configs/train.yaml"
    for arguments in (
        ["training"],
        ["--config_file", str(mine)],
        ["--config_file", f"['{ours}','{mine}']"],
        ["--config_file", ours, "--network_def", f"%{mine}#network_def"],
        ["--config_file", ours, "--args_file=other.json"],
        ["--config_file", f"{root}/bundle/configs/../../mine.yaml"],
    ):
        assert not only_ours(arguments), arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["training"], r"no configuration is named; add --config_file"),
        (["training", "--config_file", "trian.yaml"], r"Cannot find the config file: trian\.yaml; check the spelling"),
    ],
)
def test_a_run_without_its_configuration_is_one_line(arguments, said, tmp_path):
    command = [sys.executable, "-m", "fetal_monai", "run", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(said, done.stderr), done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_only_what_is_listed_is_silent(fresh, caplog, monkeypatch):
    quiet_known_notices()
    quiet_known_notices()
    for name, beginning in notices._LOGGED:
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "propagate", True)
        assert sum(isinstance(x, notices._Unless) for x in logger.filters) == 1, "asked twice, it filters once"
        logger.warning("%s and so on", beginning)
        logger.warning("another than %s", beginning)
    assert {record.getMessage() for record in caplog.records} == {f"another than {text}" for _, text in notices._LOGGED}
    for beginning, category, module in notices._WARNINGS:
        warnings.warn_explicit(f"{beginning}script`", category, "x.py", 1, module)
        warnings.warn_explicit(f"{beginning}script`", category, "x.py", 2, "fetal_monai.cli")
        warnings.warn_explicit(f"{beginning}script`", FutureWarning, "x.py", 3, module)
        warnings.warn_explicit(f"not {beginning}", category, "x.py", 4, module)
    assert [warning.lineno for warning in fresh if warning.filename == "x.py"] == [2, 3, 4] * len(notices._WARNINGS)


def test_monai_logs_as_before(tmp_path):
    """It gives a logger its handler only where nobody asked for that logger earlier."""
    program = (
        "from fetal_monai.utils.notices import quiet_known_notices; quiet_known_notices()\n"
        "import logging; print(len(logging.getLogger('monai.bundle.workflows').handlers))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "1"


def test_a_setting_that_no_configuration_has_is_refused(root, tmp_path):
    configs = root / "bundle" / "configs"
    files = f"['{configs / 'train.yaml'}','{configs / 'networks/lite0.yaml'}']"
    known = ["--max_epochs", "1", "--train#dataset#cache_rate=0.5", "--val-interval", "2", "--tracking", "mlflow"]
    refuse_wrong_settings(["training", "--config_file", files, *known])
    refuse_wrong_settings(["training", "--max_epoch", "1"])  # MONAI says that there is no configuration
    for form in (["--config_file", files], [f"--config_file={files}"]):
        with pytest.raises(InputError) as raised:
            refuse_wrong_settings(["training", *form, *known, "--max_epoch", "1", "--learning_rat=3", "--xyz", "4"])
        assert [problem.split()[0] for problem in raised.value.problems] == ["--max_epoch", "--learning_rat", "--xyz"]
        assert "did you mean --max_epochs?" in raised.value.problems[0]
    (tmp_path / "mine.yaml").write_text("xyz: 3\n")
    refuse_wrong_settings(["training", "--config_file", f"{configs / 'train.yaml'},{tmp_path}/mine.yaml", "--xyz", "4"])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--max_epochs", "0"], "--max_epochs is '0'; give a whole number, 1 or more"),
        (["--batch_size=-3"], "--batch_size is '-3'; give a whole number, 1 or more"),
        (["--val_interval", "1.5"], "--val_interval is '1.5'; give a whole number, 1 or more"),
        (["--max_epochs", "1e999"], "--max_epochs is '1e999'; give a whole number, 1 or more"),
        (["--batch_size", "True"], "--batch_size is 'True'; give a whole number, 1 or more"),
        (["--num_workers", "-1"], "--num_workers is '-1'; give a whole number, 0 or more"),
        (["--dropout", "2"], "--dropout is '2'; give a share, from 0 to 1"),
        (["--overwrite", "false"], "--overwrite is 'false'; give True or False"),
        (["--resume=no"], "--resume is 'no'; give True or False"),
        (["--cache_dir", "null"], "--cache_dir is 'null'; give None for nothing"),
        (["--learning_rate", "abc"], "--learning_rate is 'abc'; give a number, such as 0.0005"),
        (["--num-workers=many"], "--num_workers is 'many'; give a number, such as 0"),
        (["--seed", "--overwrite", "True"], "--seed is '--overwrite'; give a number, such as 42"),
    ],
)
def test_what_cannot_be_meant_is_refused(root, given, problem):
    configs = root / "bundle" / "configs"
    files = f"['{configs / 'train.yaml'}','{configs / 'networks/lite0.yaml'}']"
    with pytest.raises(InputError) as raised:
        refuse_wrong_settings(["training", "--config_file", files, *given])
    assert raised.value.problems == [problem]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["networks/lite0.yaml", "train.yaml"], "train.yaml first"),
        (["evaluate.yaml", "train.yaml"], "train.yaml first"),
        (["networks/lite0.yaml"], "lite0.yaml only change a training; name train.yaml before"),
    ],
)
@pytest.mark.parametrize("run_id", ["training", "evaluating"])
def test_overlays_that_would_be_lost_are_refused(root, run_id, names, says):
    files = ",".join(str(root / "bundle/configs" / name) for name in names)
    with pytest.raises(InputError, match=re.escape(says)):
        refuse_wrong_settings([run_id, "--config_file", files, "--dataset_dir", "x"])


def test_a_misspelt_setting_of_a_file_is_refused_unless_something_reads_it(root, tmp_path):
    train, mine = root / "bundle/configs/train.yaml", tmp_path / "mine.yaml"
    mine.write_text("lerning_rate: 3\n")
    with pytest.raises(InputError, match="nothing reads its lerning_rate; did you mean learning_rate"):
        refuse_wrong_settings(["training", "--config_file", f"{train},{mine}"])
    mine.write_text("lerning_rate: 3\nlearning_rate: '@lerning_rate'\nanything: 1\ntrain#dataloader#batch_size: 2\n")
    refuse_wrong_settings(["training", "--config_file", f"{train},{mine}"])


def test_a_device_by_its_name_is_told_how_to_be_written(root):
    with pytest.raises(InputError, match=re.escape("write --device \"$torch.device('cuda:1')\"")):
        refuse_wrong_settings(["training", "--config_file", str(root / "bundle/configs/train.yaml"), "--device=cuda:1"])


def test_all_overlays_of_the_bundle_pass(root):
    configs = root / "bundle/configs"
    for path in [*configs.glob("*/*.yaml"), configs / "evaluate.yaml"]:
        refuse_wrong_settings(["training", "--config_file", f"{configs / 'train.yaml'},{path}"])


def test_a_mistake_is_not_told_on_its_way(fresh, caplog):
    notices.quiet_known_notices()
    for error in (InputError("last.pt", ["it is there"]), ValueError("a fault of ours")):
        for name in notices._OF_RUNS:
            try:
                raise RuntimeError("wrapped") from error  # noqa: TRY301
            except RuntimeError:
                logging.getLogger(name).exception("Exception")
                logging.getLogger(name).error("Engine run ends")  # noqa: TRY400  # as ignite does
    assert [record.name for record in caplog.records] == [name for name in notices._OF_RUNS for _ in range(2)]


def test_what_may_stand_for_a_number_may_go_on(root, tmp_path):
    files = str(root / "bundle/configs/train.yaml")
    for value in ("1e-3", "$2 * 0.1", "'$2 * 0.1'", "@batch_size", "5", "(3)", "None"):
        refuse_wrong_settings(["training", "--config_file", files, f"--learning_rate={value}"])
    refuse_wrong_settings(["training", "--config_file", files, "--compile", "$True", "--num_workers", "0"])
    refuse_wrong_settings(["training", "--config_file", files, "--overwrite", "True", "--cache_dir", "None"])
    refuse_wrong_settings(["training", "--config_file", files, "--average_flips", "True"])
    for words in (["--overwrite"], ["--resume", "--max_epochs", "3"], ["--overwrite", "1"]):
        refuse_wrong_settings(["training", "--config_file", files, *words])
    (tmp_path / "whole.yaml").write_text("dropout: 0\n")  # as good a number as 0.0
    with pytest.raises(InputError, match="--dropout is 'abc'; give a number"):
        refuse_wrong_settings(["training", "--config_file", f"{files},{tmp_path}/whole.yaml", "--dropout", "abc"])
    (tmp_path / "mine.yaml").write_text("device: 0\nimage_size: 224\nresume: null\n")
    refuse_wrong_settings(
        [
            "training",
            "--config_file",
            f"{files},{tmp_path}/mine.yaml",
            "--device",
            "cpu",
            "--image_size",
            "[192,288]",
            "--resume",
            "last.ckpt",
        ]
    )


def test_a_run_id_that_is_missing_is_told(root):
    command = [sys.executable, "-m", "fetal_monai", "run", "evaluating", "--config_file"]
    done = subprocess.run([*command, root / "bundle/configs/train.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Error: run ID 'evaluating' doesn't exist in the config file" in done.stderr
    assert "`evaluating` needs evaluate.yaml" in done.stderr
    assert "Traceback" not in done.stderr
