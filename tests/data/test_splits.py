"""Splits: by patient, stratified, kept when a table grows; and the command that writes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.cli.split_table import print_split
from fetal_monai.data import load_datalists
from fetal_monai.data.row_problems import SPLITS
from fetal_monai.data.splits import assign_splits, fold_tables, rare_classes, split_counts
from fetal_monai.errors import InputError

ROWS = st.lists(
    st.tuples(st.sampled_from("ABCDEFGHIJKLMNOP"), st.sampled_from(["Femur", "Spine", "Other"])), max_size=60
)
TABLES = ROWS.map(lambda rows: table_of([*rows, ("A", "Femur"), ("B", "Spine"), ("C", "Other")]))


def table_of(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["patient_id", "class"])


def homes(table: pd.DataFrame) -> dict[str, str]:
    """The split of each patient, who has one only."""
    assert table.groupby("patient_id")["split"].nunique().max() == 1
    return table.groupby("patient_id")["split"].first().to_dict()


def cohort(patients: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    names = np.repeat([f"P{number:03}" for number in range(patients)], random.integers(1, 9, patients))
    classes = random.choice(["Other", "Femur", "Head", "Cervix"], len(names), p=[0.5, 0.3, 0.15, 0.05])
    return pd.DataFrame({"patient_id": names, "class": classes})


@settings(max_examples=30)
@given(TABLES, st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_patient_has_one_split_whatever_the_order_of_the_rows(table, seed, random):
    found = assign_splits(table, seed=seed)
    assert set(found["split"]) <= set(SPLITS)
    order = list(table.index)
    random.shuffle(order)
    assert homes(assign_splits(table.loc[order], seed=seed)) == homes(found)
    pd.testing.assert_frame_equal(found.drop(columns="split"), table)


@settings(max_examples=30)
@given(TABLES, TABLES, st.integers(0, 3))
def test_who_has_a_split_keeps_it_when_rows_are_added(table, more, seed):
    before = assign_splits(table, seed=seed)
    grown = pd.concat([before, more.assign(split="")], ignore_index=True)
    after = homes(assign_splits(grown, seed=seed + 1))
    assert {patient: after[patient] for patient in homes(before)} == homes(before)
    assert set(after) == set(grown["patient_id"])


@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_as_many_patients_as_splits_is_in_each(seed):
    rare = table_of([("P003", "Nasal"), ("P017", "Nasal"), ("P029", "Nasal"), ("P008", "Spine"), ("P009", "Spine")])
    table = pd.concat([cohort(60, seed), rare], ignore_index=True)
    counts = split_counts(assign_splits(table, seed=seed))
    assert rare_classes(table, 3) == {"Spine": 2}
    assert counts.drop(index="Spine").min().min() >= 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shares_are_met_within_a_few_images_also_by_new_patients(seed):
    table = cohort(200, seed)
    first = assign_splits(table[table["patient_id"] < "P120"], (0.6, 0.2, 0.2), seed=seed)
    grown = pd.concat([first, table[table["patient_id"] >= "P120"].assign(split="")])
    for found in (assign_splits(table, (0.6, 0.2, 0.2), seed=seed), assign_splits(grown, (60, 20, 20), seed=seed)):
        counts = split_counts(found)
        wanted = np.outer(counts.sum(axis=1), (0.6, 0.2, 0.2))
        assert np.abs(counts.to_numpy() - wanted).max() <= 3


def test_it_is_no_worse_than_stratified_group_k_fold():
    table = cohort(100)
    ours = split_counts(assign_splits(table, (0.8, 0.0, 0.2)))["test"].drop("patients")
    _, test = next(
        StratifiedGroupKFold(5, shuffle=True, random_state=0).split(table, table["class"], table["patient_id"])
    )
    theirs = split_counts(table.iloc[test].assign(split="test"))["test"].drop("patients")
    wanted = split_counts(table.assign(split="test"))["test"].drop("patients") / 5
    assert ((ours - wanted) ** 2).sum() <= ((theirs - wanted) ** 2).sum()


def test_a_share_of_0_assigns_nobody_and_seeds_differ():
    table = cohort(60)
    assert set(assign_splits(table, (0.8, 0.2, 0))["split"]) == {"train", "val"}
    assert homes(assign_splits(table, seed=0)) == homes(assign_splits(table, seed=0))
    assert homes(assign_splits(table, seed=0)) != homes(assign_splits(table, seed=1))


@pytest.mark.parametrize(
    ("split", "shares", "message"),
    [
        (["train", "test", "", ""], (0.7, 0.15, 0.15), "patient 'A' is in train and test"),
        (["tset", "", "", ""], (0.7, 0.15, 0.15), "'tset' is unknown; use train, val, test"),
        (["", "", "", ""], (0.7, -0.15, 0.15), "are no shares"),
        (["", "", "", ""], (0, 1, 1), "train above 0"),
        (["", "", "", ""], (float("nan"), 1, 1), "are no shares"),
    ],
)
def test_what_makes_no_sense_is_refused(split, shares, message):
    table = table_of([("A", "Femur"), ("A", "Spine"), ("B", "Femur"), ("C", "Femur")]).assign(split=split)
    with pytest.raises(InputError, match=message):
        assign_splits(table, shares)


def test_two_patients_make_no_three_splits():
    with pytest.raises(InputError, match="2 patients cannot make 3 splits"):
        assign_splits(table_of([("A", "Femur"), ("B", "Femur")]))


def test_folds_hold_every_patient_out_once_and_leave_the_test_set_unseen():
    table = assign_splits(cohort(40))
    held_out: list[str] = []
    for fold in fold_tables(table, 4):
        assert set(homes(fold).values()) == set(SPLITS)
        held_out += fold.loc[fold["split"] == "test", "patient_id"].unique().tolist()
    assert sorted(held_out) == sorted(set(table.loc[table["split"] != "test", "patient_id"]))
    with pytest.raises(InputError, match="41 folds are more than the 40 patients"):
        list(fold_tables(table.drop(columns="split"), 41))


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["train", "test"], "patient 'A' is in train and test; correct it, or draw all splits anew"),
        (["tset", ""], "'tset' is unknown; use train, val, test"),
    ],
)
def test_folds_refuse_the_splits_that_drawing_refuses(splits, message):
    table = table_of([(patient, "Femur") for patient in "AABBCCDD"]).assign(split=[*splits, *[""] * 6])
    for draw in (assign_splits, lambda table: list(fold_tables(table, 2))):
        with pytest.raises(InputError, match=message):
            draw(table)


@settings(max_examples=30)
@given(st.sets(st.integers(0, 60), max_size=9))
def test_all_images_of_a_patient_in_test_stay_unseen(rows):
    table = cohort(20).assign(split="")
    table.loc[list(rows), "split"] = "test"
    unseen = set(table.loc[table["split"] == "test", "patient_id"])
    for fold in fold_tables(table, 3):
        assert set(fold["patient_id"]) == set(table["patient_id"]) - unseen


# The command


def run(*arguments, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["split", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.fixture
def unsplit(phantom: Path, tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    table = pd.read_csv(phantom / "annotations.csv", dtype=str)
    table.assign(note="kept; as it is").drop(columns="split").to_csv(path, index=False, sep=";", encoding="utf-16")
    return path


def test_the_command_writes_a_table_that_a_training_takes(phantom, unsplit, class_names, tmp_path):
    output = run(unsplit)
    made = tmp_path / "mine_split.csv"
    lists = load_datalists(made, phantom, class_names, splits=SPLITS)
    assert sum(map(len, lists.values())) == 60
    assert len(lists["train"]) > 30
    assert "patients" in output
    assert "Shoulder bone has" in output
    assert set(pd.read_csv(made)["note"]) == {"kept; as it is"}


def test_nothing_is_replaced_unless_it_is_asked_for(unsplit, tmp_path):
    before = unsplit.read_bytes()
    assert "is there already; give --overwrite" in run(unsplit, "--out", unsplit, code=1)
    assert unsplit.read_bytes() == before
    run(unsplit, "--out", unsplit, "--overwrite")
    kept = homes(pd.read_csv(unsplit))
    run(unsplit, "--seed", 5)
    assert homes(pd.read_csv(tmp_path / "mine_split.csv")) == kept
    run(unsplit, "--seed", 5, "--redraw", "--overwrite")
    assert homes(pd.read_csv(tmp_path / "mine_split.csv")) != kept


def test_the_command_writes_folds(phantom, unsplit, class_names, tmp_path):
    run(unsplit, "--folds", 3)
    tables = [tmp_path / f"mine_fold{number}of3.csv" for number in range(3)]
    tests = [load_datalists(path, phantom, class_names, splits=SPLITS)["test"] for path in tables]
    assert sum(map(len, tests)) == 60


def test_patients_come_from_the_files_where_the_table_has_none(phantom, unsplit, tmp_path):
    table = pd.read_csv(unsplit, sep=";", encoding="utf-16", dtype=str)
    expected = table["patient_id"].tolist()
    table.drop(columns="patient_id").to_csv(unsplit, index=False)
    assert "column 'patient_id' is missing; name the patient, or give --dicom FOLDER" in run(unsplit, code=1)
    run(unsplit, "--dicom", phantom)
    found = pd.read_csv(tmp_path / "mine_split.csv", dtype=str)["patient_id"].tolist()
    assert len(set(zip(expected, found, strict=True))) == len(set(expected)) == len(set(found))
    assert not set(expected) & set(found), "they are digests"


def test_a_file_without_a_patient_is_named_with_its_row(phantom, unsplit, tmp_path):
    table = pd.read_csv(unsplit, sep=";", encoding="utf-16", dtype=str)
    table.loc[[4, 7], "patient_id"] = ""
    table.loc[7, "SOPInstanceUID"] = "1.2.3"
    table.to_csv(unsplit, index=False)
    shutil.copytree(phantom / "dicom", tmp_path / "dicom")
    path = tmp_path / "dicom" / f"{table.loc[4, 'SOPInstanceUID']}.dcm"
    data = pydicom.dcmread(path)
    data.PatientID = ""
    data.save_as(path)
    output = run(unsplit, "--dicom", tmp_path / "dicom", code=1)
    assert "row 6: the file of" in output
    assert "has no PatientID either" in output
    assert "row 9: no file is named '1.2.3'" in output


def test_a_place_that_cannot_be_written_is_an_error_in_words(unsplit, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in run(unsplit, "--out", tmp_path / "file" / "new.csv", code=1)


def test_a_class_that_a_split_lacks_is_named(capsys, tmp_path):
    table = table_of([(f"P{number:03}", name) for number in range(6) for name in ("Femur", "Spine")])
    table["split"] = [
        "train",
        "train",
        "val",
        "train",
        "val",
        "train",
        "train",
        "train",
        "val",
        "train",
        "test",
        "test",
    ]
    print_split(tmp_path / "table.csv", table)
    said = capsys.readouterr().err.splitlines()
    assert said == ["Warning: Spine has no image in val; try another --seed, or label more"]
