"""The header: valid, and silent about what the source does not tell."""

from __future__ import annotations

import shutil
import subprocess

import cv2
import numpy as np
import pydicom
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.data.importers.dicom_image import content_uid, derive_identity, write_image
from fetal_monai.data.importers.picture import read_picture
from made_archives import picture

COLOUR = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8), (0, 0), 3)
CONTENTS = {
    "grey PNG": picture(1),
    "colour PNG": cv2.imencode(".png", COLOUR)[1].tobytes(),
    "grey JPEG": picture(1, ".jpg"),
    "JPEG 4:2:0": simplejpeg.encode_jpeg(COLOUR, colorsubsampling="420"),
    "JPEG 4:2:2": simplejpeg.encode_jpeg(COLOUR, colorsubsampling="422"),
    "JPEG 4:4:4": simplejpeg.encode_jpeg(COLOUR, colorsubsampling="444"),
}
UNKNOWN = ("DICOMDIR", "only permitted to be empty when actually unknown")  # dates and laterality: nobody tells them


@pytest.fixture(params=CONTENTS)
def written(request, tmp_path):
    content = CONTENTS[request.param]
    identity = derive_identity("folders", "a.png", "P1", content, device="Voluson Ø\\6", published_as="HC18")
    path = tmp_path / "a.dcm"
    write_image(read_picture(content), identity, path)
    return content, identity, path


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy of the Debian package dicom3tools")
def test_dciodvfy_finds_no_error(written):
    done = subprocess.run(["dciodvfy", str(written[2])], capture_output=True, text=True, check=False)
    findings = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("Error", "Warning"))]
    assert done.returncode == 0
    assert [line for line in findings if not any(words in line for words in UNKNOWN)] == []


@pytest.mark.skipif(shutil.which("dcm2pnm") is None, reason="needs dcm2pnm of the Debian package dcmtk")
def test_dcmtk_shows_the_same(written, tmp_path):
    content, _, path = written
    png = content.startswith(b"\x89PNG")
    tool = "dcmdjpls" if png else "dcmdjpeg"
    subprocess.run([tool, str(path), str(tmp_path / "raw.dcm")], check=True)
    theirs = np.squeeze(pydicom.dcmread(tmp_path / "raw.dcm").pixel_array).astype(int)
    ours = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB).astype(int)
    difference = np.abs(theirs - (ours if theirs.ndim == 3 else ours[..., 0]))
    assert difference.max() == 0 if png else difference.mean() < 1.5


def test_noise_that_no_compression_makes_smaller_is_stored_as_it_is(tmp_path):
    content = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8))[1].tobytes()
    write_image(read_picture(content), derive_identity("folders", "a", "b", content), tmp_path / "a.dcm")
    assert pydicom.dcmread(tmp_path / "a.dcm").file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_the_header_says_what_the_source_says_and_no_more(written):
    _, identity, path = written
    data = pydicom.dcmread(path)
    assert data.SOPClassUID == "1.2.840.10008.5.1.4.1.1.6.1" == data.file_meta.MediaStorageSOPClassUID
    assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID == identity.sop_uid
    assert (data.Modality, data.ManufacturerModelName) == ("US", "Voluson Ø 6")
    assert data.DeidentificationMethod == "As published: HC18"
    assert data.PatientID == identity.patient_id
    told = {element.keyword for element in data if element.tag.group < 0x28 and not element.is_empty}
    assert told == {
        "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "ManufacturerModelName",
        "PatientID", "PatientIdentityRemoved", "DeidentificationMethod", "StudyInstanceUID", "SeriesInstanceUID",
        "SeriesNumber",
    }  # fmt: skip


TEXT = st.text(st.characters(codec="utf-8"))


@given(st.lists(st.tuples(TEXT, st.binary()), unique=True, max_size=8))
def test_uids_are_valid_and_belong_to_name_and_content(parts):
    uids = [content_uid(*part) for part in parts]
    assert len(set(uids)) == len(parts)
    assert all(uid.is_valid and len(uid) <= 44 for uid in uids)
    assert uids == [content_uid(*part) for part in parts]


def test_parts_do_not_run_together():
    assert content_uid("ab", "c") != content_uid("a", "bc")


def test_images_of_a_patient_share_the_study_and_nothing_of_the_name_is_in_it():
    one, two = (derive_identity("folders", name, "Jane Doe", b"") for name in ("1.png", "2.png"))
    other = derive_identity("folders", "1.png", "John Doe", b"")
    assert (one.patient_id, one.study_uid, one.series_uid) == (two.patient_id, two.study_uid, two.series_uid)
    assert one.sop_uid != two.sop_uid
    assert one.study_uid != other.study_uid
    assert "Jane" not in str(one)
