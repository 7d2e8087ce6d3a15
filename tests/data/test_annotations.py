"""The CSV of labels: what is accepted, and every mistake that is reported, with its row."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pandas as pd
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.data import class_counts, list_frames, load_datalists, read_annotations
from fetal_monai.data.checks import check_data
from fetal_monai.dicom import FrameRef
from fetal_monai.errors import InputError


@pytest.fixture
def table(phantom: Path) -> pd.DataFrame:
    return pd.read_csv(phantom / "annotations.csv", dtype=str)


def problems_of(
    table: pd.DataFrame, phantom: Path, class_names: list[str], folder: Path, **options: object
) -> list[str]:
    path = folder / "annotations.csv"
    table.to_csv(path, index=False)
    with pytest.raises(InputError) as caught:
        load_datalists(path, phantom, class_names, **options)
    assert str(path) in str(caught.value)
    return caught.value.problems


def test_every_row_becomes_an_item_with_its_file_frame_and_label(phantom, table, class_names):
    lists = load_datalists(phantom / "annotations.csv", phantom, class_names, splits=("train", "val", "test"))
    assert {split: len(items) for split, items in lists.items()} == table["split"].value_counts().to_dict()
    by_uid = table.set_index("SOPInstanceUID")
    for split, items in lists.items():
        for item in items:
            row = by_uid.loc[item["SOPInstanceUID"]]
            assert isinstance(item["image"], FrameRef)
            assert Path(item["image"].path).stem == item["SOPInstanceUID"]
            assert item["image"].frame == item["frame"] == int(row["frame"])
            assert item["label"] == class_names.index(row["class"])
            assert (split, item["patient_id"]) == (row["split"], row["patient_id"])
    assert any(item["frame"] >= 0 for items in lists.values() for item in items), "the phantom has clips"


def test_files_are_found_with_suffix_without_and_by_header_in_nested_folders(phantom, table, class_names, tmp_path):
    nested = tmp_path / "a" / "b"
    nested.mkdir(parents=True)
    uids = table["SOPInstanceUID"]
    for number, uid in enumerate(uids):
        source = phantom / "dicom" / f"{uid}.dcm"
        target = [nested / f"{uid}.dcm", nested / uid, tmp_path / f"IMG{number:04d}"][number % 3]
        shutil.copy(source, target)
    table["SOPInstanceUID"] = [f"{uid}.dcm" if number % 2 else uid for number, uid in enumerate(uids)]
    table.to_csv(tmp_path / "annotations.csv", index=False)
    lists = load_datalists(tmp_path / "annotations.csv", tmp_path, class_names)
    found = {item["SOPInstanceUID"] for items in lists.values() for item in items}
    assert found == set(uids)


def test_extra_columns_order_and_spaces_are_accepted(phantom, table, class_names, tmp_path):
    table["device"] = "any"
    table["class"] = " " + table["class"] + " "
    table[list(reversed(table.columns))].to_csv(tmp_path / "annotations.csv", index=False)
    assert load_datalists(tmp_path / "annotations.csv", phantom, class_names)["train"]


@pytest.mark.parametrize("column", ["SOPInstanceUID", "split", "class", "class_int", "frame"])
def test_a_missing_column_is_named(phantom, table, class_names, tmp_path, column):
    problems = problems_of(table.drop(columns=column), phantom, class_names, tmp_path)
    assert problems[0].startswith(f"row 1: column '{column}' is missing")


def test_other_names_of_columns_are_known(phantom, table, class_names, tmp_path):
    names = {"SOPInstanceUID": "Filename", "class": "label", "split": "subset"}
    problems = problems_of(table.rename(columns=names), phantom, class_names, tmp_path)
    expected = [f"row 1: column '{column}' is missing; rename '{name}'" for column, name in names.items()]
    assert sorted(problems) == sorted(expected)


def test_a_spelling_of_a_split_is_told_once_with_what_it_may_mean(phantom, table, class_names, tmp_path):
    spelt = {"train": "Training", "val": "validation", "test": "TEST"}
    first = {name: table.index[table["split"] == split][0] + 2 for split, name in spelt.items()}
    counts = table["split"].map(spelt).value_counts()
    table["split"] = table["split"].map(spelt)
    problems = [text for text in problems_of(table, phantom, class_names, tmp_path) if "is unknown" in text]
    expected = [
        f"row {first[name]}: split '{name}' is unknown (in {counts[name]} rows, this is the first); "
        f"did you mean {split}? use train, val, test"
        for split, name in spelt.items()
    ]
    assert sorted(problems) == sorted(expected)


def test_letters_that_macos_takes_apart_are_the_same_letters(phantom, table, class_names, tmp_path):
    names = [f"Fémur {number}" for number in range(len(class_names))]
    table["class"] = [unicodedata.normalize("NFD", names[int(number)]) for number in table["class_int"]]
    table.to_csv(tmp_path / "annotations.csv", index=False)
    soft = {
        f"p:{unicodedata.normalize('NFD', name)}": (table["class_int"] == str(k)) * 1 for k, name in enumerate(names)
    }
    table.assign(**soft).to_csv(tmp_path / "soft.csv", index=False)
    for listed in (names, [unicodedata.normalize("NFD", name) for name in names]):
        assert load_datalists(tmp_path / "annotations.csv", phantom, listed)["train"]
        for item in load_datalists(tmp_path / "soft.csv", phantom, listed)["train"]:
            assert item["soft_label"].argmax() == item["label"]
        findings = check_data(phantom, tmp_path / "annotations.csv", listed).findings
        assert not [finding for finding in findings if finding.level == "error"]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("split", "tset", "split 'tset' is unknown; use train, val, test"),
        ("class", "Fermur", "class 'Fermur' is not in the list of classes"),
        ("class", "femur", "; did you mean Femur? correct it"),
        ("class", "Head PPP, tectum", "; did you mean Head (PPP, Tectum)? correct it"),
        ("class", "Elephant", "); correct it"),
        ("class_int", "99", "class_int '99' disagrees with class"),
        ("class_int", "3,0", "(a spreadsheet made it a decimal: write 3)"),
        ("SOPInstanceUID", "1.2E+30", "SOPInstanceUID '1.2E+30' is a number in scientific notation"),
        ("SOPInstanceUID", "2,25188e15", "SOPInstanceUID '2,25188e15' is a number in scientific notation"),
        ("frame", "12,0", "frame '12,0' is no frame number (a spreadsheet made it a decimal: write 12)"),
        ("SOPInstanceUID", "1.2.3", "no file is named '1.2.3' or has that SOPInstanceUID"),
        ("SOPInstanceUID", "../../../etc/passwd", "no file is named '../../../etc/passwd'"),
        ("SOPInstanceUID", "", "SOPInstanceUID is empty"),
        ("frame", "9999", "frame 9999 is out of range"),
        ("frame", "-2", "frame '-2' is no frame number"),
        ("frame", "first", "frame 'first' is no frame number"),
        ("frame", "1.0", "frame '1.0' is no frame number"),
        ("frame", "", "frame '' is no frame number"),
    ],
)
def test_a_wrong_value_is_reported_with_its_row(phantom, table, class_names, tmp_path, column, value, message):
    table.loc[5, column] = value
    problems = problems_of(table, phantom, class_names, tmp_path)
    assert any(problem.startswith("row 7: ") and message in problem for problem in problems), problems


def test_an_instance_that_ends_before_its_pixels_is_to_be_copied_again(phantom, table, class_names, tmp_path):
    shutil.copytree(phantom / "dicom", tmp_path / "dicom")
    name = table.loc[5, "SOPInstanceUID"]
    path = tmp_path / "dicom" / f"{name}.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\xe0\x7f\x10\x00")])
    (problem,) = problems_of(table, tmp_path, class_names, tmp_path)
    assert problem.startswith(f"row 7: {path} (DICOM of modality US) has no image; copy it again if it is cut off")


def test_uids_that_became_one_number_are_not_taken_for_one_image(phantom, table, class_names, tmp_path):
    table.loc[[3, 4], "SOPInstanceUID"] = "1.2E+30"
    problems = problems_of(table, phantom, class_names, tmp_path)
    assert [problem.split(": a ")[0] for problem in problems] == [
        f"row {row}: SOPInstanceUID '1.2E+30' is a number in scientific notation" for row in (5, 6)
    ]


def test_a_row_is_counted_as_the_spreadsheet_does(phantom, table, class_names, tmp_path):
    table.loc[5, "split"] = "tset"
    path = tmp_path / "annotations.csv"
    header, *lines = table.to_csv(index=False).splitlines()
    path.write_text("\n".join([header, "", *lines[:3], ",,,,,", *lines[3:]]))
    with pytest.raises(InputError, match="row 9: split 'tset'"):
        load_datalists(path, phantom, class_names)


def test_linked_folders_are_looked_into(phantom, class_names, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dicom").symlink_to(phantom / "dicom")
    expected = load_datalists(phantom / "annotations.csv", phantom, class_names)
    found = load_datalists(phantom / "annotations.csv", tmp_path / "data", class_names)
    assert {split: len(items) for split, items in found.items()} == {s: len(items) for s, items in expected.items()}
    assert found["train"][0]["image"].path.startswith(str(tmp_path))


def test_a_clip_without_a_frame_says_how_many_there_are(phantom, table, class_names, tmp_path):
    row = table.index[table["frame"] != "-1"][0]
    table.loc[row, "frame"] = "-1"
    (problem,) = problems_of(table, phantom, class_names, tmp_path)
    assert problem.startswith(f"row {row + 2}: ")
    assert "is a clip of" in problem


def test_an_image_in_two_splits_is_reported_with_both_rows(phantom, table, class_names, tmp_path):
    still = table[(table["split"] == "train") & (table["frame"] == "-1")].iloc[[0]]
    again = still.assign(split="test", patient_id="", frame="0")  # frame 0 of a still is the still
    problems = problems_of(pd.concat([table, again]), phantom, class_names, tmp_path)
    expected = f"row {len(table) + 2}: the same image stands in row {still.index[0] + 2} (train, "
    assert [problem for problem in problems if problem.startswith(expected)]


def test_a_patient_in_two_splits_is_reported_unless_allowed(phantom, table, class_names, tmp_path):
    table.loc[table.index[table["split"] == "test"], "patient_id"] = table.loc[0, "patient_id"]
    (problem,) = problems_of(table, phantom, class_names, tmp_path)
    assert "keep each patient in one split" in problem
    path = tmp_path / "annotations.csv"
    assert load_datalists(path, phantom, class_names, allow_patient_overlap=True)["test"]


def test_an_empty_split_is_reported_when_it_is_needed(phantom, table, class_names, tmp_path):
    table = table[table["split"] != "val"]
    problems = problems_of(table, phantom, class_names, tmp_path)
    assert problems == ["split 'val' is empty; give some rows split=val"]
    assert load_datalists(tmp_path / "annotations.csv", phantom, class_names, splits=("test",))["test"]


def test_all_problems_come_at_once_in_the_order_of_the_rows(phantom, table, class_names, tmp_path):
    table.loc[9, "class"] = "Fermur"
    table.loc[2, "split"] = "tset"
    table.loc[4, "frame"] = "77"
    problems = problems_of(table, phantom, class_names, tmp_path)
    assert [problem.split(":")[0] for problem in problems] == ["row 4", "row 6", "row 11"]


def test_an_unreadable_file_is_told_from_a_missing_one(phantom, table, class_names, tmp_path):
    shutil.copytree(phantom / "dicom", tmp_path / "dicom")
    (tmp_path / "dicom" / f"{table.loc[0, 'SOPInstanceUID']}.dcm").write_bytes(b"")
    table.to_csv(tmp_path / "annotations.csv", index=False)
    with pytest.raises(InputError, match=r"row 2: the file of .* cannot be read .* copy it again"):
        load_datalists(tmp_path / "annotations.csv", tmp_path, class_names)


@pytest.mark.parametrize("content", ["", '"unclosed\n1,2', "\x00\xff\xfe"])
def test_what_is_no_csv_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "annotations.csv"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError):
        read_annotations(path)


def test_a_missing_csv_names_itself(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_annotations(tmp_path / "annotations.csv")


@given(st.lists(st.integers(0, 4)))
def test_class_counts_count_each_label_once(labels):
    counts = class_counts([{"label": label} for label in labels], list("abcde"))
    assert counts == [labels.count(label) for label in range(5)]


def test_every_frame_of_every_ultrasound_instance_is_listed(phantom, tmp_path):
    frames = 0
    for path in (phantom / "dicom").glob("*.dcm"):
        frames += int(pydicom.dcmread(path, stop_before_pixels=True).get("NumberOfFrames", 1))
    items = list_frames(phantom)
    assert len(items) == frames == len({(item["SOPInstanceUID"], item["frame"]) for item in items})
    with pytest.raises(InputError, match="no ultrasound image"):
        list_frames(tmp_path)


def test_a_header_that_claims_billions_of_frames_is_not_believed(phantom, tmp_path):
    source = next((phantom / "dicom").glob("*.dcm"))
    dataset = pydicom.dcmread(source)
    dataset.NumberOfFrames = 2**31 - 1
    dataset.save_as(tmp_path / "absurd.dcm")
    with pytest.raises(InputError, match="no ultrasound image among 0 DICOM files and 1 others"):
        list_frames(tmp_path)
