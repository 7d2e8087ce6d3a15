"""Which study a report is filed in, what it takes over from the images, and what cannot be filed."""

from __future__ import annotations

from dataclasses import replace

import pydicom
import pytest
from pydicom import Dataset

from fetal_monai.dicom import index_dicom
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.results.structured_report import build_report, build_reports, write_report
from made_predictions import predicted
from report_content import groups, references


def test_one_report_per_study(phantom, class_names):
    entries = list(index_dicom(phantom).values())[:12]
    frames = [0 if entry.frames > 1 else -1 for entry in entries]
    many = [predicted(entry, class_names, frame) for entry, frame in zip(entries, frames, strict=True)]
    picture = replace(many[0], source="a.png", sop_instance_uid=None)
    made = list(build_reports([picture, *many]))
    assert [report.StudyInstanceUID for report in made] == list(dict.fromkeys(entry.study for entry in entries))
    assert sum(len(groups(report)) for report in made) == len(many)
    assert len({report.SOPInstanceUID for report in made}) == len(made) > 1
    assert list(build_reports([picture])) == []


def minimal(entry):
    """No more than what makes an image an instance of a study."""
    full = pydicom.dcmread(entry.path, stop_before_pixels=True)
    header = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        header[keyword] = full[keyword]
    return header


def test_a_poor_header_is_enough(study, class_names, tmp_path):
    header = minimal(study[0])
    write_report(build_report([predicted(study[0], class_names)], [header]), tmp_path / "poor.dcm")
    assert pydicom.dcmread(tmp_path / "poor.dcm").PatientID == ""
    header.PatientSex, header.PatientBirthDate = "W", ""  # no value of the standard
    assert build_report([predicted(study[0], class_names)], [header]).PatientSex == ""


def test_names_keep_their_letters(study, class_names, tmp_path):
    header = minimal(study[0])
    header.SpecificCharacterSet = "ISO_IR 100"
    header.PatientName = "Müller^Zoë"
    header.StudyDescription = "Größe"
    header.save_as(tmp_path / "latin.dcm", implicit_vr=False, little_endian=True)
    source = pydicom.dcmread(tmp_path / "latin.dcm", force=True)
    write_report(build_report([predicted(study[0], class_names)], [source]), tmp_path / "report.dcm")
    found = pydicom.dcmread(tmp_path / "report.dcm")
    assert (str(found.PatientName), found.StudyDescription) == ("Müller^Zoë", "Größe")
    assert found.SpecificCharacterSet == "ISO_IR 192"


def test_what_cannot_be_filed_is_said(study, phantom, class_names, tmp_path):
    item = predicted(study[0], class_names)
    with pytest.raises(FetalMonaiError, match="at least one"):
        build_report([], [])
    with pytest.raises(FetalMonaiError, match="not among those given"):
        build_report([item], [])
    nameless = minimal(study[0])
    del nameless.SeriesInstanceUID
    with pytest.raises(FetalMonaiError, match="no SeriesInstanceUID"):
        build_report([item], [nameless])
    other = next(entry for entry in index_dicom(phantom).values() if entry.study != study[0].study)
    with pytest.raises(FetalMonaiError, match="several studies"):
        build_report([item], [minimal(study[0]), minimal(other)])
    with pytest.raises(InputError, match="cannot be read for the report"):
        list(build_reports([replace(item, source=str(tmp_path / "gone.dcm"))]))
    homeless = minimal(study[0])
    del homeless.StudyInstanceUID
    with pytest.raises(FetalMonaiError, match="names no study"):
        list(build_reports([item], {item.sop_instance_uid: homeless}))


def test_every_reference_resolves_in_orthanc(orthanc, written, study, found):
    path, dataset = written
    orthanc.store(path, *(entry.path for entry in study))
    assert orthanc.modalities() == {"SR", "US"}
    referred = list(references(dataset))
    assert len(referred) == len(found)
    for reference in referred:
        orthanc.resolve(reference)
