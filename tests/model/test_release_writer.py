"""A release: written whole or not at all, at half the size, with what its users need."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fetal_monai.errors import InputError
from fetal_monai.inference import Predictor
from fetal_monai.metrics.ood import Mahalanobis
from fetal_monai.model import release_writer
from fetal_monai.model.folder import load_model
from fetal_monai.model.release_writer import MAX_BYTES, write_release
from probabilities import rows

FILES = {"model.pt", "model.json", "calibration.json", "decisions.json", "ood.npz", "README.md", "LICENSE.txt"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_release_holds_what_a_user_needs_at_half_the_size(evaluated_model, stand_in):
    assert {path.name for path in stand_in.iterdir()} == FILES
    weights = torch.load(stand_in / "model.pt", weights_only=True)
    assert {value.dtype for value in weights.values()} == {torch.float16, torch.int64}
    network, _, facts = load_model(stand_in)
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}
    assert facts.release["version"] == "0.9"
    before, after = (json.loads((folder / "model.json").read_text()) for folder in (evaluated_model, stand_in))
    assert after | {"release": {}} == before
    before, after = (json.loads((folder / "decisions.json").read_text()) for folder in (evaluated_model, stand_in))
    files = facts.release["files"]
    parts = {name: files[name] for name in ("calibration.json", "ood.npz")}
    assert after == before | {"weights_sha256": files["model.pt"]["sha256"], "files": parts}
    assert (stand_in / "calibration.json").read_bytes() == (evaluated_model / "calibration.json").read_bytes()
    card, licence = ((stand_in / name).read_text() for name in ("README.md", "LICENSE.txt"))
    for text in (
        "# fetal_planes 0.9",
        "Not a medical device",
        "Head (trans-cerebellum)",
        "train: 1 images of 1 patients",
    ):
        assert text in card
    for text in ("FETAL_PLANES_DB", "Burgos-Artizzu", "10200 (2020)", "CC BY 4.0"):
        assert text in licence
    assert sum(len(raw) for raw in content(stand_in).values()) <= MAX_BYTES


def test_half_precision_changes_predictions_little(evaluated_model, stand_in, stills):
    whole, half = ([*Predictor(folder, device="cpu").predict(stills)] for folder in (evaluated_model, stand_in))
    assert np.ptp(rows(whole), axis=0).max() > 0.05, "the images must differ for this to mean anything"
    np.testing.assert_allclose(rows(half), rows(whole), atol=0.03)
    np.testing.assert_allclose([x.ood_score for x in half], [x.ood_score for x in whole], rtol=0.03)


def test_the_card_says_what_people_know(evaluated_model, tmp_path):
    out = write_release(evaluated_model, tmp_path / "out", version="2", name="mine", card="## Limits\n", licence="CC0")
    assert (out / "README.md").read_text().endswith("\n\n## Limits\n")
    assert (out / "README.md").read_text().startswith("# mine 2\n")
    assert (out / "LICENSE.txt").read_text() == "CC0"


def disk_full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def too_large(folder: Path) -> None:
    weights = torch.load(folder / "model.pt", weights_only=True)
    weights["head.weight"][0, 0] = 1e6
    torch.save(weights, folder / "model.pt")
    (folder / "decisions.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "patch", "says"),
    [
        (None, (Mahalanobis, "save", disk_full), "No space left on device; make room"),
        (None, (release_writer, "MAX_BYTES", 1000), "more than 1000; train a smaller network"),
        (too_large, None, "head.weight hold values that are no numbers or beyond 65504"),
        (lambda folder: (folder / "model.json").unlink(), None, "there is no such file"),
        (lambda folder: (folder / "calibration.json").write_text("{"), None, "is no calibration"),
        (lambda folder: (folder / "model.pt").write_bytes(b""), None, "damaged or cut off"),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_a_release_is_written_whole_or_not_at_all(evaluated_model, tmp_path, monkeypatch, spoil, patch, says, there):
    source = Path(shutil.copytree(evaluated_model, tmp_path / "source"))
    if spoil:
        spoil(source)
    if patch:
        monkeypatch.setattr(*patch)
    out = tmp_path / "parent" / "out"
    if there:
        out.mkdir(parents=True)
    with pytest.raises(InputError, match=says):
        write_release(source, out, version="1")
    assert not out.exists() or not any(out.iterdir())
    assert not out.parent.exists() or {path.name for path in out.parent.iterdir()} <= {"out"}


@pytest.mark.parametrize(
    ("what", "text"),
    [(what, text) for what, long in (("name", 65), ("version", 52)) for text in ("", "a" * long, "a\\b", "a\nb")],
)
def test_a_name_that_no_report_could_hold_is_refused(evaluated_model, tmp_path, what, text):
    with pytest.raises(InputError, match=f"(?s){what} of the release.*cannot stand in a DICOM report"):
        write_release(evaluated_model, tmp_path / "out", **{"version": "1", what: text})
    assert not (tmp_path / "out").exists()


def test_thresholds_of_other_weights_and_a_folder_in_use_are_refused(evaluated_model, tmp_path):
    source = Path(shutil.copytree(evaluated_model, tmp_path / "source"))
    decisions = json.loads((source / "decisions.json").read_text())
    (source / "decisions.json").write_text(json.dumps({**decisions, "weights_sha256": "0" * 64}))
    with pytest.raises(InputError, match="other weights"):
        write_release(source, tmp_path / "out", version="1")
    (tmp_path / "used").mkdir()
    (tmp_path / "used/notes.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for name in ("used", "file"):
        with pytest.raises(InputError, match="is not an empty folder"):
            write_release(evaluated_model, tmp_path / name, version="1")
    assert content(tmp_path / "used") == {"notes.txt": b"keep"}
    with pytest.raises(InputError, match="cannot be written"):
        write_release(evaluated_model, tmp_path / "file/below", version="1")
