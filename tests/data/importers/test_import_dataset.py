"""The whole import: what it leaves loads, holds the source's pixels, and is the same the second time."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.cli.import_data import Kind
from fetal_monai.data import load_datalists
from fetal_monai.data.importers import KINDS, import_dataset
from fetal_monai.dicom import read_frame
from fetal_monai.errors import InputError
from made_archives import fetal_planes, picture, rows_of_fetal_planes, write_folder, write_zip

COLUMNS = ["SOPInstanceUID", "split", "class", "class_int", "frame", "patient_id", "device", "source"]


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_folder(fetal_planes(), tmp_path_factory.mktemp("archive") / "source")


@pytest.fixture(scope="module")
def imported(archive, tmp_path_factory):
    out = tmp_path_factory.mktemp("imported") / "out"
    import_dataset("fetal-planes-db", archive, out)
    return out


def test_cropped_pictures_have_no_banner_to_mask(imported, root):
    ours = yaml.safe_load((root / "bundle/configs/datasets/fetal_planes.yaml").read_text())
    assert yaml.safe_load((imported / "classes.yaml").read_text())["banner_fraction"] == ours["banner_fraction"] == 0


def test_the_import_loads_and_holds_the_pixels_of_the_source(archive, imported):
    names = yaml.safe_load((imported / "classes.yaml").read_text())["class_names"]
    items = load_datalists(imported / "annotations.csv", imported, names, splits=("train", "val", "test"))
    with (imported / "annotations.csv").open(newline="") as file:
        rows = {row["SOPInstanceUID"]: row for row in csv.DictReader(file)}
    assert list(next(iter(rows.values()))) == COLUMNS
    official = {f"{row[0]}.png": "train" if row[6] == "1" else "test" for row in rows_of_fetal_planes()}
    assert sum(map(len, items.values())) == len(rows) == len(official)
    for split, images in items.items():
        for item in images:
            source = rows[item["SOPInstanceUID"]]["source"]
            assert official[source] == ("test" if split == "test" else "train")
            theirs = cv2.imread(str(archive / "Images" / source), cv2.IMREAD_COLOR_RGB)
            np.testing.assert_array_equal(np.moveaxis(read_frame(item["image"].path), 0, -1), theirs)
    assert items["val"]


def test_a_zip_and_a_second_import_give_the_same_files(imported, tmp_path):
    zipped = write_zip(fetal_planes(), tmp_path / "a.zip", "FETAL_PLANES_ZENODO/")
    import_dataset("fetal-planes-db", zipped, tmp_path / "out")
    ours = {name: digest for name, digest in digests(tmp_path / "out").items() if name != "import.json"}
    assert ours == {name: digest for name, digest in digests(imported).items() if name != "import.json"}


def test_an_interrupted_import_goes_on(archive, imported, tmp_path):
    def interrupt(done, total):
        if done == 20:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        import_dataset("fetal-planes-db", archive, out, progress=interrupt)
    assert len(list((out / "dicom").iterdir())) == 20
    assert not (out / "annotations.csv").exists()
    (out / "dicom/.2.25.1.half.dcm").write_bytes(b"half")
    before = {path: path.stat().st_mtime_ns for path in (out / "dicom").iterdir()}
    summary = import_dataset("fetal-planes-db", archive, out)
    assert summary.written == 44
    assert digests(out) == digests(imported)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items() if path.exists())
    assert import_dataset("fetal-planes-db", archive, out).written == 0


@pytest.mark.parametrize(("kind", "seed"), [("folders", 1), ("fetal-planes-db", 0)])
def test_an_import_of_something_else_is_left_alone(archive, tmp_path, kind, seed):
    files = {f"{label}/a{number}.png": picture(number) for number in range(9) for label in ("Femur", "Other")}
    folders = write_folder(files, tmp_path / "folders")
    import_dataset("folders", folders, tmp_path / "out")
    before = digests(tmp_path / "out")
    with pytest.raises(InputError, match="another source, or with other settings"):
        import_dataset(kind, folders if kind == "folders" else archive, tmp_path / "out", seed=seed)
    assert digests(tmp_path / "out") == before


def test_a_folder_that_holds_something_is_refused(archive, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for out, why in (("full", "something other than an import"), ("file", "is a file")):
        with pytest.raises(InputError, match=why):
            import_dataset("fetal-planes-db", archive, tmp_path / out)
    with pytest.raises(InputError, match="lies in the source"):
        import_dataset("fetal-planes-db", archive, archive / "out")
    with pytest.raises(InputError, match="make room for it"):
        import_dataset("fetal-planes-db", archive, tmp_path / "file/out")
    assert (tmp_path / "full/thesis.tex").read_text() == "dear"


def test_damaged_and_missing_images_are_listed_and_the_others_imported(tmp_path):
    files = fetal_planes()
    names = sorted(name for name in files if name.endswith(".png"))
    files[names[0]] = files[names[0]][:-30]
    files[names[1]] = b"<html>404</html>"
    del files[names[2]]
    source = write_folder(files, tmp_path / "source")
    done = CliRunner().invoke(app, ["import", "fetal-planes-db", str(source), str(tmp_path / "out")])
    assert done.exit_code == 3
    assert "61 images of 8 patients" in done.stdout
    with (tmp_path / "out/not_imported.csv").open(newline="") as file:
        listed = {row["source"]: row["reason"] for row in csv.DictReader(file)}
    assert listed.keys() == {name.removeprefix("Images/") for name in names[:3]}
    for name in listed:
        assert name in done.stderr
    write_folder({name: fetal_planes()[name] for name in names[:2]}, source)  # copied again
    done = CliRunner().invoke(app, ["import", "fetal-planes-db", str(source), str(tmp_path / "out")])
    assert "63 images of 8 patients, 61 from before" in done.stdout


def test_a_source_of_damaged_images_only_is_an_error(tmp_path):
    source = write_folder({"Femur/a.png": b"", "Other/b.png": b"x"}, tmp_path / "source")
    with pytest.raises(InputError, match=r"Femur/a\.png: it is empty"):
        import_dataset("folders", source, tmp_path / "out")


def test_pictures_stay_in_place_if_a_table_can_hold_their_names(tmp_path):
    names = ("Femur/a.png", "Femur/b\udce9.png", "Other/c.png")
    source = write_folder({name: picture(number) for number, name in enumerate(names)}, tmp_path / "source")
    summary = import_dataset("folders", source, tmp_path / "out", in_place=True, val_fraction=0, test_fraction=0)
    assert [row["file"] for row in summary.rows] == ["Femur/a.png", "Other/c.png"]
    assert [(name, why.startswith("its name is no UTF-8")) for name, why in summary.failures] == [
        ("Femur/b\\xe9.png", True)
    ]


def test_the_command_shows_counts_and_the_licence(archive, tmp_path):
    done = CliRunner().invoke(app, ["import", "fetal-planes-db", str(archive), str(tmp_path / "out"), "--seed", "3"])
    assert done.exit_code == 0
    assert "CC BY 4.0, https://zenodo.org/records/3904280" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.strip().startswith("Femur")]
    train, val, test = map(int, line.split()[1:])
    assert (train + val, test) == (4, 4)


def test_a_users_mistake_is_one_message(tmp_path):
    command = [sys.executable, "-m", "fetal_monai", "import", "coco", str(tmp_path / "none"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no such folder or zip" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_knows_every_kind():
    assert {kind.value for kind in Kind} == set(KINDS)
    with pytest.raises(InputError, match="there is no kind 'x'"):
        import_dataset("x", "a", "b")
