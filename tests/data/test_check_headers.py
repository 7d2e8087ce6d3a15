"""What a training finds in the headers before it begins."""

from __future__ import annotations

import logging

import pandas as pd
import pydicom
import pytest

from clips import textured, write_clip
from fetal_monai.data import check_headers, load_datalists
from fetal_monai.dicom import FrameRef
from fetal_monai.errors import InputError


@pytest.fixture
def table(phantom):
    return pd.read_csv(phantom / "annotations.csv", dtype=str)


def lists(table, phantom, class_names, folder):
    table.to_csv(folder / "a.csv", index=False)
    return load_datalists(folder / "a.csv", phantom, class_names, allow_patient_overlap=True)


def leaked(table):
    """One image of a test patient among those to learn from."""
    table = table.copy()
    table.loc[table.index[table["split"] == "test"][0], "split"] = "train"
    return table


def test_a_sound_phantom_says_nothing(table, phantom, class_names, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    check_headers(lists(table, phantom, class_names, tmp_path))
    assert caplog.records == []
    check_headers(lists(table.drop(columns="patient_id"), phantom, class_names, tmp_path))
    assert not [record for record in caplog.records if "header" in record.message]


def test_a_leak_that_the_table_cannot_tell_stops_the_training(table, phantom, class_names, tmp_path, caplog):
    found = lists(leaked(table).drop(columns="patient_id"), phantom, class_names, tmp_path)
    with pytest.raises(InputError, match="same PatientID in its header") as caught:
        check_headers(found)
    assert "allow_patient_overlap" in str(caught.value)
    check_headers(found, allow_patient_overlap=True)
    assert any("same PatientID" in record.message for record in caplog.records)


def test_a_table_that_names_patients_is_believed(table, phantom, class_names, tmp_path, caplog):
    table = leaked(table)
    table["patient_id"] = [
        f"{patient}{split}" for patient, split in zip(table["patient_id"], table["split"], strict=True)
    ]
    check_headers(lists(table, phantom, class_names, tmp_path))
    assert any("same PatientID" in record.message for record in caplog.records)


def test_headers_alone_are_read(table, phantom, class_names, tmp_path, monkeypatch):
    monkeypatch.setattr(pydicom, "dcmread", None)
    monkeypatch.setattr("fetal_monai.dicom.instance.UltrasoundInstance.frame", None)
    monkeypatch.setattr("fetal_monai.dicom.instance.UltrasoundInstance.stored", None)
    check_headers(lists(table, phantom, class_names, tmp_path))


def test_frames_of_one_clip_are_one_wherever_they_stand(tmp_path, caplog):
    """Four clips of two devices and two classes, without ids: too few files to say that one gives the other away."""
    paths = [tmp_path / f"{number}.dcm" for number in range(4)]
    for number, path in enumerate(paths):
        write_clip(path, textured(12), Manufacturer="AB"[number % 2], PatientID="", StudyInstanceUID="")
    items = [
        {"image": FrameRef(str(path), frame), "class": "ab"[number % 2], "patient_id": "", "device": ""}
        for frame in range(12)
        for number, path in enumerate(paths)
    ]
    check_headers({"train": items, "val": [], "test": []})
    assert caplog.records == []
