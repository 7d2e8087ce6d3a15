"""Which study a report is filed in, what it takes over from the images, and what cannot be filed."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pydicom
import pytest
from pydicom import Dataset, config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import validate_value

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


ODD = [b"", b"abc", b"20249999", b"1990", b"2024.01.01", b"10:10:10", b"999999", b"A\\B", b"1990\\1991", b"a=b=c=d"]


@pytest.mark.parametrize(
    "keyword",
    ["StudyDate", "StudyTime", "PatientBirthDate", "PatientName", "PatientSex", "AccessionNumber", "StudyID"],
)
@pytest.mark.parametrize("value", ODD)
def test_an_odd_value_costs_no_report_and_is_not_handed_on(study, class_names, tmp_path, keyword, value):
    header = minimal(study[0])
    tag = tag_for_keyword(keyword)
    header[tag] = RawDataElement(Tag(tag), dictionary_VR(tag), len(value), value, 0, False, True)  # as a file has it
    with warnings.catch_warnings(record=True) as said:  # highdicom's would quote the name
        report = build_report([predicted(study[0], class_names)], [header])
    assert not said
    assert not isinstance(report[keyword].value, MultiValue)
    if dictionary_VR(tag) in {"DA", "TM"}:
        validate_value(dictionary_VR(tag), report[keyword].value, config.RAISE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of what stayed as it was
        write_report(report, tmp_path / "odd.dcm")


@pytest.mark.parametrize(
    ("keyword", "value", "says"),
    [
        ("PatientID", ["A", "B"], "several values of PatientID"),
        ("SeriesInstanceUID", ["1.2", "1.3"], "several values of SeriesInstanceUID"),
        ("SOPClassUID", "1.3.46.670589.2.3.1.1", "breaks a rule of DICOM"),
    ],
)
def test_what_a_report_cannot_refer_to_is_refused_in_words(study, class_names, keyword, value, says):
    header = minimal(study[0])
    setattr(header, keyword, value)
    with pytest.raises(FetalMonaiError, match=says):
        build_report([predicted(study[0], class_names)], [header])


def test_a_damaged_sequence_costs_no_report(study, class_names, tmp_path):
    header = minimal(study[0])
    tag = tag_for_keyword("ReferencedImageSequence")
    header[tag] = RawDataElement(Tag(tag), "SQ", 6, b"\xff" * 6, 0, False, True)
    write_report(build_report([predicted(study[0], class_names)], [header]), tmp_path / "report.dcm")
    assert pydicom.dcmread(tmp_path / "report.dcm").StudyInstanceUID == header.StudyInstanceUID


def test_two_patients_with_one_study_have_a_report_each(study, class_names):
    items = [predicted(entry, class_names, 0 if entry.frames > 1 else -1) for entry in study[:2]]
    headers = [minimal(entry) for entry in study[:2]]
    headers[0].PatientID, headers[1].PatientID = "A", "B "
    by_uid = {header.SOPInstanceUID: header for header in headers}
    reports = list(build_reports(items, by_uid))
    assert [report.PatientID.strip() for report in reports] == ["A", "B"]
    cited = [{reference.ReferencedSOPInstanceUID for reference in references(report)} for report in reports]
    assert cited == [{header.SOPInstanceUID} for header in headers]
    with pytest.raises(FetalMonaiError, match="several patients"):
        build_report(items, headers)
