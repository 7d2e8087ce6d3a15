"""An image in two rows is found by its file and frame, however each row names and numbers it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetal_monai.data import load_datalists
from fetal_monai.data.checks import check_data
from fetal_monai.data.row_problems import repeated_images
from fetal_monai.dicom import index_dicom
from fetal_monai.errors import InputError
from made_archives import picture, write_folder

STILL, FIRST, FOURTH = ("-1", "0", "00"), ("0", "00"), ("3", "03")
"""How the frame of a still and two frames of a clip may be written."""


@pytest.fixture(scope="module")
def data(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies of one file each, a still and a clip, and two pictures."""
    folder = tmp_path_factory.mktemp("above") / "data"
    write_folder({"Femur/1.png": picture(1), "Other/1.png": picture(2)}, folder)
    entries = list(index_dicom(phantom / "dicom").values())
    for study, wanted in (("still", lambda frames: frames == 1), ("clip", lambda frames: frames > 3)):
        (folder / study).mkdir()
        shutil.copy(next(entry.path for entry in entries if wanted(entry.frames)), folder / study / "IM_0000.dcm")
    return folder


@pytest.fixture(scope="module")
def spellings(data: Path) -> list[tuple[list[str], tuple[str, ...]]]:
    """For each image the names and the numbers of frames that a row may give it."""
    names = {}
    for uid, entry in index_dicom(data).items():
        study = Path(entry.path).parent.name
        paths = [f"{before}{study}/IM_0000" for before in ("", "./", "data/", f"{data}/")]
        names[study] = [uid, f"{uid}.dcm", f"elsewhere/{uid}.dcm", *paths, *(f"{path}.dcm" for path in paths)]
    pictures = [[f"{before}{name}/1.png" for before in ("", "./", ".//")] for name in ("Femur", "Other")]
    images = [(names["still"], STILL), (names["clip"], FIRST), (names["clip"], FOURTH)]
    return images + [(paths, STILL) for paths in pictures]


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    """A training of the first row, with validation on all others under another label."""
    labels = ["train,Femur,0", *["val,Other,1"] * (len(rows) - 1)]
    lines = [f"{name},{label},{frame}" for (name, frame), label in zip(rows, labels, strict=True)]
    path.write_text("\n".join(["SOPInstanceUID,split,class,class_int,frame", *lines]))
    return path


def problems_of(table: Path, folder: Path) -> list[str]:
    try:
        load_datalists(table, folder, ["Femur", "Other"], splits=())
    except InputError as error:
        return error.problems
    return []


@settings(max_examples=50)
@given(st.data(), st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_every_row_of_an_image_but_the_first_is_told_with_the_first(data, spellings, tmp_path_factory, drawn, images):
    rows = [tuple(drawn.draw(st.sampled_from(ways)) for ways in spellings[image]) for image in images]
    table = write(tmp_path_factory.getbasetemp() / "annotations.csv", rows)
    first = [images.index(image) for image in images]
    expected = [
        f"row {row + 2}: the same image stands in row {before + 2} ({'val, Other' if before else 'train, Femur'}); "
        "keep one of the two"
        for row, before in enumerate(first)
        if row != before
    ]
    assert problems_of(table, data) == expected


def test_a_file_by_name_in_train_and_by_uid_in_val_is_one_image_for_the_check_too(data, spellings, tmp_path):
    (uid, *_, path), _ = spellings[0]
    table = write(tmp_path / "annotations.csv", [(path, "-1"), (uid, "-1")])
    said = "row 3: the same image stands in row 2 (train, Femur); keep one of the two"
    findings = check_data(data, table, ["Femur", "Other"]).findings
    assert [finding.text for finding in findings if finding.kind == "duplicate"] == [said]
    assert problems_of(table, data) == [said]


def test_rows_without_a_file_are_no_image_twice(data, tmp_path):
    problems = problems_of(write(tmp_path / "annotations.csv", [("gone", "-1"), ("gone", "-1")]), data)
    assert [problem.split(" is named")[0] for problem in problems] == ["row 2: no file", "row 3: no file"]


def test_a_path_need_not_be_utf_8():
    table = pd.DataFrame({"row": [2, 3, 4], "frame": ["-1", "0", "0"], "split": "val", "class": "Other"})
    (problem,) = repeated_images(table, {2: "a\udcff", 3: "a\udcff", 4: "a\udcfe"})
    assert problem[0] == 3
