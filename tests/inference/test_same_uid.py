"""Files that share a SOPInstanceUID: copies count once, other images are told."""

import shutil

import pydicom
import pytest
from pydicom import config

from clips import textured, write_clip
from fetal_monai.inference.discover import find_images


@pytest.fixture
def still(tmp_path_factory):
    path = tmp_path_factory.mktemp("still") / "still.dcm"
    write_clip(path, textured(1), NumberOfFrames=None, FrameTime=None, PatientID="A", StudyInstanceUID="1.2")
    return path


@pytest.mark.parametrize("changed", ["PatientID", "StudyInstanceUID", "Rows"])
def test_another_image_with_the_same_uid_is_no_copy(still, tmp_path, changed):
    first, second = tmp_path / "1.dcm", tmp_path / "2.dcm"
    shutil.copy(still, first)
    data = pydicom.dcmread(first)
    setattr(data, changed, data.Rows - 1 if changed == "Rows" else "1.2.3")
    data.save_as(second)
    for inputs in ([tmp_path], [first, second], [second, first], [tmp_path, tmp_path]):
        found = find_images(inputs)
        assert len(found.frames) == 1
        assert not found.passed_over
        (failure,) = found.failures
        assert {failure.source, found.frames[0].path} == {str(first), str(second)}
        assert "is that of another image" in failure.message


@pytest.mark.parametrize(("changed", "value"), [("NumberOfFrames", 1), ("SeriesInstanceUID", "1.2.3")])
def test_what_archives_change_makes_no_other_image(still, tmp_path, changed, value):
    shutil.copy(still, tmp_path / "1.dcm")
    data = pydicom.dcmread(tmp_path / "1.dcm")
    assert data.get(changed) != value
    setattr(data, changed, value)
    data.save_as(tmp_path / "2.dcm")
    found = find_images([tmp_path])
    assert (len(found.frames), len(found.passed_over), found.failures) == (1, 1, [])


def test_of_another_modality_with_the_same_uid_is_passed_over(still, tmp_path):
    data = pydicom.dcmread(still)
    data.Modality, data.Rows, data.PatientID = "CT", data.Rows // 2, "another"
    data.PixelData = data.PixelData[: len(data.PixelData) // 2]
    data.save_as(tmp_path / "ct.dcm")
    shutil.copy(still, tmp_path / "us.dcm")
    found = find_images([tmp_path])
    assert found.passed_over == {str(tmp_path / "ct.dcm"): "DICOM images of modality CT"}
    assert (len(found.frames), found.failures) == (1, [])


def test_a_uid_that_is_a_formula_is_none(still, tmp_path):
    data = pydicom.dcmread(still)
    with config.disable_value_validation():
        data.SOPInstanceUID = '=HYPERLINK("x")'
        data.save_as(tmp_path / "a.dcm")
    (failure,) = find_images([tmp_path]).failures
    assert "its SOPInstanceUID is no UID" in failure.message
