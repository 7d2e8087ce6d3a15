"""The check of a data set: nothing is invented on a clean one, and every planted fault is found with its rows."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
import simplejpeg
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, generate_uid
from scipy.stats import chi2_contingency
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.data.checks import check_data
from fetal_monai.data.checks.confounding import _cramers_v
from fetal_monai.data.checks.perceptual_hash import alike, look_at
from fetal_monai.dicom import read_frame


@pytest.fixture
def data(phantom: Path, tmp_path: Path) -> Path:
    """A phantom of one's own, to damage."""
    shutil.copytree(phantom, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def table(data: Path) -> pd.DataFrame:
    return pd.read_csv(data / "annotations.csv", dtype=str)


def still(table: pd.DataFrame, split: str) -> int:
    """The position of a still of a split, in a class that has several."""
    return int(table.index[(table["split"] == split) & (table["frame"] == "-1") & (table["class"] == "Other")][0])


def file_of(data: Path, table: pd.DataFrame, position: int) -> Path:
    return data / "dicom" / f"{table.loc[position, 'SOPInstanceUID']}.dcm"


def run(*arguments: object, code: int) -> str:
    done = CliRunner().invoke(app, ["check", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def errors(data: Path, table: pd.DataFrame, *, pixels: bool = False, class_names: list[str] | None = None):
    table.to_csv(data / "annotations.csv", index=False)
    report = check_data(data, data / "annotations.csv", class_names, pixels=pixels)
    return [(finding.kind, finding.rows) for finding in report.findings if finding.level == "error"]


def recompress(source: Path, target: Path, quality: int, scale: float = 1.0) -> None:
    """A copy as another archive would keep it: another quality and size, other UIDs and another patient."""
    image = read_frame(source, -1)
    image = np.ascontiguousarray((image[0] if isinstance(image, tuple) else image).transpose(1, 2, 0))
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    dataset = pydicom.dcmread(source)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = target.stem
    dataset.StudyInstanceUID, dataset.PatientID = generate_uid(), "another"
    dataset.Rows, dataset.Columns = image.shape[:2]
    dataset.PixelData = encapsulate([simplejpeg.encode_jpeg(image, quality, colorsubsampling="422")])
    dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation = JPEGBaseline8Bit, "YBR_FULL_422"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(target)


def test_nothing_is_invented_on_a_clean_set(data, class_names, tmp_path):
    config = tmp_path / "classes.yaml"
    config.write_text(yaml.safe_dump({"class_names": class_names}))
    output = run(data, "--pixels", "--config", config, "--json", tmp_path / "report.json", code=0)
    assert "60 images: nothing that should stop a training" in output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["fine"]
    assert report["images"] == sum(report["counts"][split]["images"] for split in report["counts"]) == 60
    assert {finding["kind"] for finding in report["findings"]} <= {"absent_class", "colour"}


def test_a_row_that_stands_there_twice_is_told_once(data, table):
    row = still(table, "train")
    pd.concat([table, table.loc[[row]]]).to_csv(data / "annotations.csv", index=False)
    findings = check_data(data, data / "annotations.csv", pixels=True).findings
    assert [(finding.kind, finding.level) for finding in findings if finding.kind == "duplicate"] == [
        ("duplicate", "error")
    ]


def test_a_leaked_patient_is_found_by_the_table(data, table):
    row = still(table, "test")
    table.loc[row, "patient_id"] = table.loc[still(table, "train"), "patient_id"]
    assert ("patient", (row + 2,)) in errors(data, table)


@pytest.mark.parametrize("renamed", [True, False])
def test_a_leaked_patient_is_found_by_the_headers(data, table, renamed):
    row = still(table, "test")
    patient = table.loc[row, "patient_id"]
    if renamed:
        table.loc[row, "patient_id"] = "somebody else"
    else:
        table = table.drop(columns="patient_id")
    table.loc[row, "split"] = "train"
    ((kind, rows),) = errors(data, table)
    assert kind == "patient"
    whole = pd.read_csv(data.parent / "data" / "annotations.csv", dtype=str)
    assert row + 2 in rows
    assert len(rows) == 5, (patient, whole)


@pytest.mark.parametrize("pixels", [True, False])
def test_identifiers_that_are_the_same_everywhere_are_no_leak(data, table, pixels):
    for path in (data / "dicom").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PatientID, dataset.StudyInstanceUID = "ANONYMOUS", "1.2.3"
        dataset.save_as(path)
    report = check_data(data, data / "annotations.csv", pixels=pixels)
    assert report.fine
    assert [finding.level for finding in report.findings if finding.kind == "identifiers"] == ["warning"]


@pytest.mark.parametrize(("quality", "scale"), [(95, 1.0), (40, 1.0), (70, 0.6)])
def test_a_copy_of_another_quality_or_size_is_found(data, table, quality, scale):
    row = still(table, "train")
    uid = "2.25.77"
    recompress(file_of(data, table, row), data / "dicom" / f"{uid}.dcm", quality, scale)
    copy = table.loc[[row]].assign(SOPInstanceUID=uid, split="test", patient_id="another")
    table = pd.concat([table, copy], ignore_index=True)
    assert errors(data, table) == []
    assert errors(data, table, pixels=True) == [("near_duplicate", (row + 2, len(table) + 1))]


@pytest.mark.parametrize("pixels", [True, False])
def test_the_same_pixels_under_another_uid_are_found(data, table, pixels):
    row = still(table, "train")
    dataset = pydicom.dcmread(file_of(data, table, row))
    dataset.SOPInstanceUID = "2.25.78"
    dataset.save_as(data / "dicom" / "2.25.78.dcm")
    copy = table.loc[[row]].assign(SOPInstanceUID="2.25.78", **{"class": "Spine", "class_int": "9"})
    table = pd.concat([table, copy], ignore_index=True)
    assert errors(data, table, pixels=pixels) == [("duplicate", (row + 2, len(table) + 1))]


@pytest.mark.parametrize("with_classes", [True, False])
def test_a_swapped_number_is_found_with_and_without_the_classes(data, table, class_names, with_classes):
    row = still(table, "train")
    table.loc[row, "class_int"] = "5"
    assert errors(data, table, class_names=class_names if with_classes else None) == [("row", (row + 2,))]


def test_a_misspelt_class_is_found_without_the_classes(data, table):
    row = still(table, "train")
    table.loc[row, "class"] = "Othr"
    assert errors(data, table) == [("row", (row + 2,))]


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [("SOPInstanceUID", "1.2E+30", "row"), ("frame", "77", "file"), ("frame", "0,5", "row"), ("split", "tset", "row")],
)
def test_a_spoilt_value_is_found(data, table, column, value, kind):
    row = still(table, "train")
    table.loc[row, column] = value
    assert errors(data, table) == [(kind, (row + 2,))]


def test_files_that_cannot_be_read_are_told_from_those_that_cannot_be_decoded(data, table):
    empty, cut = (int(row) for row in table.index[(table["split"] == "train") & (table["frame"] == "-1")][:2])
    file_of(data, table, empty).write_bytes(b"")
    dataset = pydicom.dcmread(file_of(data, table, cut))
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xe0 no JPEG at all"])
    dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation = JPEGBaseline8Bit, "YBR_FULL_422"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(file_of(data, table, cut))
    (data / "dicom" / "stray.dcm").write_text("no DICOM")
    assert errors(data, table) == [("file", (empty + 2,))]
    found = errors(data, table, pixels=True)
    assert sorted(found) == [("file", (empty + 2,)), ("unreadable", (cut + 2,))]
    warned = [finding.text for finding in check_data(data, data / "annotations.csv").findings if not finding.rows]
    assert any("stray.dcm: this is not a DICOM file" in text for text in warned)


def test_semicolons_are_read_and_all_problems_come_at_once(data, table):
    train, test = still(table, "train"), still(table, "test")
    table.loc[train, "class_int"] = "5"
    table.loc[test, "SOPInstanceUID"] = "1.2E+30"
    table.to_csv(data / "annotations.csv", index=False, sep=";", encoding="utf-16")
    output = run(data, code=3)
    assert f"row {train + 2}: class_int '5' disagrees with class 'Other', which is 4 in" in output
    assert f"row {test + 2}: SOPInstanceUID '1.2E+30' is a number in scientific notation" in output
    assert "60 images" not in output
    assert "59 images: not fine yet" in output


def test_a_folder_without_a_table_is_checked_for_its_files(data, table):
    (data / "annotations.csv").unlink()
    source = file_of(data, table, still(table, "train"))
    recompress(source, data / "dicom" / "2.25.79.dcm", 60)
    output = run(data, "--pixels", code=0)
    assert "No table of labels was given or found" in output
    assert "2.25.79.dcm look the same" in output or f"{source} look the same" in output


@pytest.mark.parametrize("arguments", [["{data}/nowhere"], ["{data}", "--config", "{data}/README.txt"]])
def test_what_cannot_be_used_is_exit_status_1(data, arguments):
    assert "Error: " in run(*(part.format(data=data) for part in arguments), code=1)


def test_an_empty_image_and_a_thumbnail_are_pointed_out(data, table):
    rows = table.index[(table["split"] == "train") & (table["frame"] == "-1")][:2]
    recompress(file_of(data, table, rows[0]), file_of(data, table, rows[0]), 80, 0.3)
    dataset = pydicom.dcmread(file_of(data, table, rows[1]))
    black = np.zeros((dataset.Rows, dataset.Columns, 3), np.uint8)
    dataset.PixelData = encapsulate([simplejpeg.encode_jpeg(black, 90, colorsubsampling="422")])
    dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation = JPEGBaseline8Bit, "YBR_FULL_422"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(file_of(data, table, rows[1]))
    report = check_data(data, data / "annotations.csv", pixels=True)
    found = {finding.kind: finding.rows for finding in report.findings if finding.kind in {"size", "empty"}}
    assert found == {"size": (rows[0] + 2,), "empty": (rows[1] + 2,)}


def test_a_device_that_gives_the_class_away_is_pointed_out(data, table):
    for position, record in table.iterrows():
        path = file_of(data, table, position)
        dataset = pydicom.dcmread(path)
        dataset.PatientID = record["SOPInstanceUID"][-16:]
        dataset.Manufacturer = "A" if int(record["class_int"]) < 5 else "B"
        dataset.ManufacturerModelName = ""
        dataset.save_as(path)
    table.assign(patient_id=[f"P{number}" for number in range(len(table))]).to_csv(
        data / "annotations.csv", index=False
    )
    (finding,) = [each for each in check_data(data, data / "annotations.csv").findings if each.kind == "confounding"]
    assert "Cramer's V is 1.00" in finding.text


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=2, max_size=40))
def test_cramers_v_is_by_its_formula(pairs):
    one, other = np.array(pairs).T
    table = pd.crosstab(one, other).to_numpy()
    if min(table.shape) < 2:
        assert _cramers_v(one, other) == 0
    else:
        chi2 = chi2_contingency(table, correction=False).statistic
        assert _cramers_v(one, other) == pytest.approx(np.sqrt(chi2 / len(pairs) / (min(table.shape) - 1)), abs=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 11), st.integers(30, 98))
def test_a_recompressed_image_is_like_itself_and_like_no_other(kit_images, number, quality):
    image = kit_images[number]
    copy = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(np.ascontiguousarray(image.transpose(1, 2, 0)), quality))
    looks = [*map(look_at, kit_images), look_at(copy.transpose(2, 0, 1))]
    assert list(alike(looks)) == [(number, len(kit_images))]


@pytest.fixture(scope="module")
def kit_images(phantom: Path) -> list[np.ndarray]:
    """Twelve stills of the phantom."""
    table = pd.read_csv(phantom / "annotations.csv", dtype=str)
    names = table.loc[table["frame"] == "-1", "SOPInstanceUID"][::4][:12]
    found = [read_frame(phantom / "dicom" / f"{name}.dcm", -1) for name in names]
    return [image[0] if isinstance(image, tuple) else image for image in found]


def test_processes_find_what_threads_find(phantom, monkeypatch):
    monkeypatch.setattr("fetal_monai.dicom.index.MANY", 1)
    monkeypatch.setattr("fetal_monai.data.checks.images.MANY", 1)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        by_processes = check_data(phantom, phantom / "annotations.csv", pixels=True, pool=pool)
    assert by_processes.to_json() == check_data(phantom, phantom / "annotations.csv", pixels=True).to_json()
