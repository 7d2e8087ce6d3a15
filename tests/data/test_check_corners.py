"""The check of odd folders and tables, and one that is interrupted."""

from __future__ import annotations

import os
import shutil

import pandas as pd
import pytest

from fetal_monai.data.checks import check_data, images


@pytest.fixture
def table(phantom):
    return pd.read_csv(phantom / "annotations.csv", dtype=str)


def test_a_name_that_is_no_utf8_is_checked_with_a_table(phantom, table, tmp_path):
    rows = table[table["frame"] == "-1"].head(2)
    for uid in rows["SOPInstanceUID"]:
        name = os.fsdecode(f"Müller {uid}.dcm".encode("latin-1"))
        shutil.copy(phantom / "dicom" / f"{uid}.dcm", tmp_path / name)
    rows.to_csv(tmp_path / "annotations.csv", index=False)
    report = check_data(tmp_path, tmp_path / "annotations.csv")
    assert report.images == 2
    assert sum(len(images) for images in report.examples.values()) == 2


def test_an_image_in_two_rows_is_one_example(phantom, table, tmp_path):
    rows = table.drop(columns="patient_id")
    rows.loc[[0, 0, 1]].assign(**{"class": "Other"}).to_csv(tmp_path / "annotations.csv", index=False)
    examples = check_data(phantom, tmp_path / "annotations.csv").examples["Other"]
    assert len(examples) == len(set(examples)) == 2


def test_a_table_without_rows_is_a_finding(phantom, table, tmp_path):
    table.head(0).to_csv(tmp_path / "annotations.csv", index=False)
    report = check_data(phantom, tmp_path / "annotations.csv")
    assert not report.fine
    assert any("split 'train' is empty" in finding.text for finding in report.findings)


def test_a_check_that_is_interrupted_looks_no_further(phantom, monkeypatch):
    monkeypatch.setattr(images, "_AHEAD", 5)
    looked = []
    original = images._see_files
    monkeypatch.setattr(images, "_see_files", lambda files, pixels: looked.append(files) or original(files, pixels))

    def interrupt(done, _):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_data(phantom, progress=interrupt)
    assert len(looked) <= 3 + 5
