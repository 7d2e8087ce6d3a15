"""The set on disk: splits, formats, honesty, determinism, and that nothing but pixels tells the class."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels import pixel_array
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.data.phantom import PhantomSpec, dataset, generate_phantom
from fetal_monai.data.phantom.anatomy import PLANES
from fetal_monai.data.phantom.dataset import scene_and_identity
from fetal_monai.data.phantom.dicom_writer import build_dataset, derived_uid
from fetal_monai.data.phantom.plan import FREQUENCY, class_counts, make_plan
from fetal_monai.data.phantom.scene import render
from fetal_monai.errors import InputError

TINY = PhantomSpec(patients=6, images_per_patient=2, seed=1, size=(240, 320), clip_share=0.3, rgb_share=0.4)


def annotations(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "annotations.csv")


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# -- the plan


@given(st.integers(0, 3000), st.integers(0, 20), st.floats(1, 20))
def test_class_counts_add_up(total: int, floor: int, imbalance: float) -> None:
    counts = class_counts(total, floor, imbalance)
    assert sum(counts) == total
    assert min(counts) >= min(floor, total // 16)
    assert all(more >= fewer - 1 for more, fewer in pairwise(counts))


def test_default_plan_has_the_imbalance_and_the_patients_it_promises() -> None:
    assert sorted(FREQUENCY) == sorted(PLANES)
    plan = [planned for patient in make_plan(PhantomSpec()) for planned in patient]
    assert 900 <= len(plan) <= 1200
    splits = {split: [p for p in plan if p.split == split] for split in ("train", "val", "test")}
    assert 600 <= len(splits["train"]) <= 700
    train = Counter(p.plane for p in splits["train"])
    assert 6.5 <= max(train.values()) / min(train.values()) <= 9.5
    assert len(train) == 16
    for plane in PLANES:
        assert sum(p.plane == plane for p in splits["val"]) >= 4
        assert sum(p.plane == plane for p in splits["test"]) >= 5
        assert len({p.patient for p in splits["test"] if p.plane == plane}) >= 3
    patients = [{p.patient for p in images} for images in splits.values()]
    assert len(set.union(*patients)) == sum(map(len, patients)) == 96
    assert all(len({p.plane for p in patient}) > 3 for patient in make_plan(PhantomSpec()))


def test_seed_changes_the_plan() -> None:
    assert make_plan(PhantomSpec(seed=1)) == make_plan(PhantomSpec(seed=1)) != make_plan(PhantomSpec(seed=2))


def test_bad_settings_are_reported_together() -> None:
    with pytest.raises(InputError) as caught:
        PhantomSpec(patients=2, images_per_patient=0, seed=-1, size=(100, 333), imbalance=0.5, clip_share=2)
    assert len(caught.value.problems) == 7
    with pytest.raises(InputError, match="workers is 0"):
        generate_phantom("anywhere", TINY, workers=0)


# -- what is on disk


def test_layout_and_annotations(phantom: Path) -> None:
    table = annotations(phantom)
    assert list(table) == ["SOPInstanceUID", "split", "class", "class_int", "frame", "patient_id"]
    assert sorted(f"{uid}.dcm" for uid in table.SOPInstanceUID) == sorted(p.name for p in (phantom / "dicom").iterdir())
    assert (table["class"].map(list(PLANES).index) == table.class_int).all()
    assert len(table[["patient_id", "split"]].drop_duplicates()) == table.patient_id.nunique() == 12
    assert "Not for clinical use" in (phantom / "README.txt").read_text()


def test_files_are_what_the_annotations_say(phantom: Path) -> None:
    formats = Counter()
    for row in annotations(phantom).itertuples():
        data = pydicom.dcmread(phantom / "dicom" / f"{row.SOPInstanceUID}.dcm")
        assert data.SOPInstanceUID == row.SOPInstanceUID == data.file_meta.MediaStorageSOPInstanceUID
        assert data.PatientID == row.patient_id
        clip = row.frame != -1
        assert data.SOPClassUID.name == ("Ultrasound Multi-frame Image Storage" if clip else "Ultrasound Image Storage")
        if clip:
            assert 8 <= data.NumberOfFrames <= 12
            assert 0 <= row.frame < data.NumberOfFrames
            assert data.FrameIncrementPointer == 0x00181063
        formats[data.file_meta.TransferSyntaxUID.name, data.PhotometricInterpretation, clip] += 1
    assert {key[:2] for key in formats} == {
        ("JPEG Baseline (Process 1)", "YBR_FULL_422"),
        ("Explicit VR Little Endian", "RGB"),
    }
    assert {key[2] for key in formats} == {True, False}


def test_every_file_says_that_it_is_synthetic(phantom: Path) -> None:
    for path in (phantom / "dicom").iterdir():
        data = pydicom.dcmread(path, stop_before_pixels=True)
        assert str(data.PatientName) == "SYNTHETIC^PHANTOM"
        assert data.QualityControlImage == "YES"
        for text in (data.SeriesDescription, data.StudyDescription, data.ImageComments, data.Manufacturer):
            assert "synthetic" in text.lower()
        assert data.BurnedInAnnotation == "NO"


@pytest.mark.parametrize("jpeg", [True, False])
def test_decoded_pixels_are_the_rendered_ones(phantom: Path, jpeg: bool) -> None:
    spec = PhantomSpec(patients=12, images_per_patient=5, seed=3, size=(240, 320), clip_share=0.2, rgb_share=0.2)
    planned, (scene, identity) = next(
        (planned, made)
        for patient in make_plan(spec)
        for planned in patient
        if (made := scene_and_identity(spec, planned.patient, planned.index))[1].jpeg == jpeg and made[1].clip
    )
    frames = render(scene, planned.plane)
    decoded = pixel_array(phantom / "dicom" / f"{identity.sop_uid}.dcm", index=scene.labelled)
    error = np.abs(decoded.astype(int) - frames[scene.labelled])
    assert error.max() == 0 or (jpeg and error.mean() < 6)
    # The banner's colour where no text is near.
    assert np.abs(decoded[4, 180].astype(int) - (19, 22, 25)).max() <= (2 if jpeg else 0)


def test_region_calibrates_the_sector(phantom: Path) -> None:
    for path in sorted((phantom / "dicom").iterdir())[:8]:
        data = pydicom.dcmread(path)
        region = data.SequenceOfUltrasoundRegions[0]
        image = pixel_array(path, index=0)
        box = image[
            region.RegionLocationMinY0 : region.RegionLocationMaxY1 + 1,
            region.RegionLocationMinX0 : region.RegionLocationMaxX1 + 1,
        ].max(axis=2)
        assert (box.max(axis=1) > 20).mean() > 0.95  # the sector reaches all four sides
        assert (box.max(axis=0) > 20).mean() > 0.9
        assert region.PhysicalUnitsXDirection == region.PhysicalUnitsYDirection == 3
        # From the middle of the transducer's face down to the deepest row.
        height = (region.RegionLocationMaxY1 - region.RegionLocationMinY0) - region.ReferencePixelY0
        depth = height * region.PhysicalDeltaY + region.ReferencePixelPhysicalValueY
        assert 8.5 < depth < 16.5
        assert abs(depth - round(2 * depth) / 2) < 0.1  # depths are set in steps of half a cm


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy of the Debian package dicom3tools")
def test_dciodvfy_finds_no_error(phantom: Path) -> None:
    for path in sorted((phantom / "dicom").iterdir()):
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        findings = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("Error", "Warning"))]
        assert done.returncode == 0, path
        assert findings == []


@pytest.mark.skipif(shutil.which("dcmdjpeg") is None, reason="needs dcmdjpeg of the Debian package dcmtk")
def test_dcmtk_decodes_the_same_colours(phantom: Path, tmp_path: Path) -> None:
    path = next(
        path
        for path in sorted((phantom / "dicom").iterdir())
        if pydicom.dcmread(path, stop_before_pixels=True).PhotometricInterpretation != "RGB"
    )
    subprocess.run(["dcmdjpeg", str(path), str(tmp_path / "raw.dcm")], check=True)
    theirs = pixel_array(tmp_path / "raw.dcm", index=0).astype(int)
    assert np.abs(theirs - pixel_array(path, index=0)).mean() < 1.5


# -- nothing but pixels tells the class


def test_only_the_pixels_depend_on_the_class() -> None:
    for index in range(3):
        headers = set()
        for plane in PLANES:
            scene, identity = scene_and_identity(TINY, 0, index)
            data = build_dataset(render(scene, plane), identity, scene.style, scene.sector)
            del data.PixelData
            headers.add(str(data.file_meta) + str(data))
        assert len(headers) == 1


def test_class_is_found_nowhere_in_the_headers(phantom: Path) -> None:
    words = {word for plane in PLANES for word in plane.replace("(", "").replace(")", "").replace(",", "").split()}
    words -= {"of", "Slice", "through", "section", "Other"}
    for path in (phantom / "dicom").iterdir():
        text = str(pydicom.dcmread(path, stop_before_pixels=True)).lower()
        assert not [word for word in words if len(word) > 3 and word.lower() in text]


# -- generation


def test_same_seed_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    rows = generate_phantom(tmp_path / "one", TINY, workers=1)
    assert generate_phantom(tmp_path / "two", TINY, workers=2) == rows
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_uids_belong_to_the_settings() -> None:
    uid = scene_and_identity(TINY, 0, 0)[1].sop_uid
    assert uid == scene_and_identity(TINY, 0, 0)[1].sop_uid
    other = PhantomSpec(patients=6, images_per_patient=2, seed=2, size=(240, 320))
    assert uid != scene_and_identity(other, 0, 0)[1].sop_uid
    assert uid.is_valid
    assert uid.startswith("2.25.")


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=3))
def test_derived_uids_are_valid(parts: list[int]) -> None:
    uid = derived_uid(*parts)
    assert uid.is_valid
    assert len(uid) <= 64


def test_nothing_is_left_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    write = dataset.write_image

    def fail_at_the_fifth(*arguments: object) -> object:
        made.append(1)
        if len(made) == 5:
            raise OSError("no space left on device")
        return write(*arguments)

    monkeypatch.setattr(dataset, "write_image", fail_at_the_fifth)
    with pytest.raises(InputError, match="cannot be written: no space left"):
        generate_phantom(tmp_path / "out", TINY, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_only_a_phantom_is_ever_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"not empty|never replaced"):
            generate_phantom(out, TINY, workers=1, overwrite=overwrite)
    assert (out / "thesis.txt").read_text() == "years of work"
    with pytest.raises(InputError, match="is a file"):
        generate_phantom(out / "thesis.txt", TINY, workers=1)
    with pytest.raises(InputError, match="cannot be written"):
        generate_phantom(out / "thesis.txt" / "below", TINY, workers=1)


def test_command(tmp_path: Path) -> None:
    out = tmp_path / "phantom"
    arguments = ["phantom", str(out), "--patients", "6", "--images", "1", "--size", "240", "320", "--workers", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "6 synthetic images of 6 patients" in result.output
    first = digests(out)

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "--overwrite" in result.output
    assert "Traceback" not in result.output
    assert digests(out) == first

    result = CliRunner().invoke(app, [*arguments, "--overwrite", "--seed", "4"])
    assert result.exit_code == 0, result.output
    assert digests(out) != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["phantom"]
