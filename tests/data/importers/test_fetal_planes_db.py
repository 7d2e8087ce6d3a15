"""The archive of Zenodo 3904280: planes to classes, the official split, and whatever may be wrong with a copy."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
import yaml

from fetal_monai.data.importers import import_dataset
from fetal_monai.data.importers.fetal_planes_db import BRAIN_PLANES, PLANES, class_names, plan_fetal_planes_db
from fetal_monai.data.importers.source import open_source
from fetal_monai.errors import InputError
from made_archives import HEADER, fetal_planes, rows_of_fetal_planes, table, write_folder, write_zip
from made_archives import PLANES as MADE

PLACES = (folder / "shared/data/fetal_planes_db_sample" for folder in Path(__file__).parents)
SAMPLE = next((place for place in PLACES if place.is_dir()), None)


def plan_of(folder):
    with open_source(folder) as source:
        return plan_fetal_planes_db(source)


def test_classes_are_those_of_the_configuration(root):
    config = yaml.safe_load((root / "bundle/configs/datasets/fetal_planes.yaml").read_text())["class_names"]
    assert list(class_names()) == config
    assert sorted([*PLANES.values(), *BRAIN_PLANES.values()]) == sorted(config)


@pytest.mark.parametrize("around", ["", "FETAL_PLANES_ZENODO/"])
def test_every_plane_gets_its_class_patient_split_and_device(tmp_path, around):
    plan = plan_of(write_zip(fetal_planes(), tmp_path / "a.zip", around))
    assert len(plan.items) == 8 * 8
    assert plan.items == tuple(
        type(plan.items[0])(
            member=f"{around}Images/{row[0]}.png",
            title=f"{row[0]}.png",
            label=MADE[row[0].split("_")[1]][2],
            patient=row[1],
            split="train" if row[6] == "1" else "test",
            device="Aloka",
        )
        for row in rows_of_fetal_planes()
    )


def test_a_brain_in_no_standard_plane_is_left_out_and_said(tmp_path):
    rows = [*rows_of_fetal_planes(), ["Patient00001_Plane3_9_of_9", "1", "Fetal brain", "Other", "", "Aloka", "1"]]
    plan = plan_of(write_folder(fetal_planes(rows), tmp_path))
    assert len(plan.items) == 64
    assert [name for name, _ in plan.left_out] == ["Patient00001_Plane3_9_of_9.png"]


def test_rows_without_an_image_and_images_without_a_row_are_named(tmp_path):
    files = fetal_planes()
    lost = rows_of_fetal_planes()[5][0]
    files["Images/stray.png"] = files.pop(f"Images/{lost}.png")
    plan = plan_of(write_folder(files, tmp_path))
    assert [(name, reason.split(",")[0]) for name, reason in plan.missing] == [
        (f"{lost}.png", "row 7 of the table names it")
    ]
    assert plan.left_out == (("stray.png", "no row of the table names it"),)


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        (2, "Fetal fermur", r"row 4: no plane is called 'Fetal fermur'; did you mean 'Fetal femur'\?"),
        (3, "Trans-thalamus", r"row 4: no brain plane is called 'Trans-thalamus'; did you mean 'Trans-thalamic'\?"),
        (0, "../../../etc/passwd", r"row 4: Image_name '\.\./.*' is a path"),
        (0, "Images\\a", "row 4: .* is a path"),
        (0, "", "row 4: .* is a path or nothing"),
        (0, "Patient00001_Plane1_1_of_1", "row 4: .* is there twice"),
        (1, "", "row 4: Patient_num is empty"),
        (6, "2", "row 4: Train is '2'"),
    ],
)
def test_a_wrong_row_is_named_with_its_remedy(tmp_path, column, value, why):
    rows = rows_of_fetal_planes()
    files = fetal_planes(rows)
    rows[2][column] = value
    files["FETAL_PLANES_DB_data.csv"] = table(rows)
    with pytest.raises(InputError, match=why):
        plan_of(write_folder(files, tmp_path))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has no column 'Image_name', only: none"),
        (table([], [*HEADER[:5], "Machine", "Train "]), "has no column 'US_Machine'"),
        (table([["a", "b"]]), "row 2: not 7 values"),
        (b"\xff\xfe\x00", "is no CSV"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, content, why):
    with pytest.raises(InputError, match=why):
        plan_of(write_folder({**fetal_planes(), "FETAL_PLANES_DB_data.csv": content}, tmp_path))


def test_another_archive_is_refused(tmp_path):
    files = fetal_planes()
    with pytest.raises(InputError, match="none of the 64 images"):
        plan_of(write_folder({"FETAL_PLANES_DB_data.csv": files["FETAL_PLANES_DB_data.csv"]}, tmp_path / "no images"))
    files.pop("FETAL_PLANES_DB_data.csv")
    with pytest.raises(InputError, match="there is no FETAL_PLANES_DB_data"):
        plan_of(write_folder(files, tmp_path / "no table"))
    with pytest.raises(InputError, match="has the patients"), open_source(tmp_path) as source:
        plan_fetal_planes_db(source, "(P.*)_")


@pytest.mark.skipif(SAMPLE is None, reason="needs the real sample of ../shared")
def test_the_real_sample_gives_the_counts_of_its_table(tmp_path):
    with (SAMPLE / "FETAL_PLANES_DB_data.csv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    named = {**PLANES, **{f"Fetal brain/{plane}": name for plane, name in BRAIN_PLANES.items()}}
    keys = [f"{row['Plane']}/{row['Brain_plane']}" if row["Plane"] == "Fetal brain" else row["Plane"] for row in rows]
    summary = import_dataset("fetal-planes-db", SAMPLE, tmp_path / "out")
    assert Counter(row["class"] for row in summary.rows) == Counter(named[key] for key in keys if key in named)
    assert len(summary.left_out) == keys.count("Fetal brain/Other")
    assert not summary.failures
    assert {row["split"] for row in summary.rows} == {"train", "val"}  # its patients are of the official training
