"""The archive of five African countries, as public programs that read it describe it."""

from __future__ import annotations

import csv
import io

import pytest

from fetal_monai.data.importers.african_planes import CLASSES, plan_african_planes
from fetal_monai.data.importers.import_dataset import import_dataset
from fetal_monai.data.importers.source import open_source
from fetal_monai.errors import InputError
from made_archives import picture, write_folder, write_zip

HEADER = ("Patient_num", "Filename", "Plane", "Center", "Train")
PLANES = ("Fetal abdomen", "Fetal brain", "Fetal femur", "Fetal thorax")
COUNTRIES = {"Algeria": "DZA", "Uganda": "UGA"}


def rows(patients=7):
    return [
        [str(patient), f"patient{patient:03d}_{code}_plane{number}", plane, country, str(patient % 2)]
        for country, code in COUNTRIES.items()
        for patient in range(1, patients + 1)
        for number, plane in enumerate(PLANES)
    ]


def archive(table, header=HEADER):
    text = io.StringIO()
    csv.writer(text).writerows([header, *table])
    images = {f"{row[3]}/{row[1]}.png": picture(number) for number, row in enumerate(rows())}
    return {"African_planes_database.csv": text.getvalue().encode(), **images}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_patients_are_numbers_in_a_country(tmp_path, kind):
    files = archive(rows())
    made = write_folder(files, tmp_path / "Zenodo_dataset") if kind == "folder" else None
    with open_source(made or write_zip(files, tmp_path / "a.zip", around="Zenodo_dataset/")) as source:
        plan = plan_african_planes(source)
    assert plan.class_names == CLASSES
    assert len(plan.items) == 56
    assert len({item.patient for item in plan.items}) == 14
    by_title = {item.title: item for item in plan.items}
    one = by_title["Uganda/patient002_UGA_plane1.png"]
    assert (one.label, one.patient, one.split, one.device) == ("Head", "Uganda 2", "", "")
    assert plan.missing == plan.left_out == ()


def test_no_patient_is_in_two_splits_and_all_are_written(tmp_path):
    summary = import_dataset("african-planes", write_folder(archive(rows()), tmp_path / "in"), tmp_path / "out")
    assert summary.written == 56
    splits = {}
    for row in summary.rows:
        splits.setdefault(row["patient_id"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (("Patient", *HEADER[1:]), "no column 'Patient_num', only: Patient, Filename"),
        (HEADER[:4], "row 2: not 4 values"),
    ],
)
def test_another_table_is_refused_by_its_columns(tmp_path, header, why):
    with open_source(write_folder(archive(rows(), header), tmp_path)) as source, pytest.raises(InputError, match=why):
        plan_african_planes(source)


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        (2, "Fetal fermur", "did you mean 'Fetal femur'"),
        (1, "../../x", "name no picture"),
        (3, "..", "name no picture"),
        (0, "", "Patient_num is empty"),
        (1, "patient001_DZA_plane1", "is there twice"),
    ],
)
def test_a_wrong_row_is_named_with_its_remedy(tmp_path, column, value, why):
    table = rows()
    table[0][column] = value
    with open_source(write_folder(archive(table), tmp_path)) as source, pytest.raises(InputError, match=why):
        plan_african_planes(source)


def test_what_table_and_folders_do_not_share_is_named(tmp_path):
    table = rows()
    table[0][1] = "patient999_DZA_plane0"
    with open_source(write_folder(archive(table), tmp_path)) as source:
        plan = plan_african_planes(source)
    assert [name for name, _ in plan.missing] == ["Algeria/patient999_DZA_plane0.png"]
    assert [name for name, _ in plan.left_out] == ["Algeria/patient001_DZA_plane0.png"]
