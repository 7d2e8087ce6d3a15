"""Every attribute of the profile, at the top and in a sequence, against the table that dicom-anonymizer publishes."""

import copy
from datetime import date

import pytest
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as table
from pydicom import config
from pydicom.datadict import DicomDictionary, dictionary_keyword, dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from fetal_monai.deidentify.header import Keep, deidentify_header
from fetal_monai.deidentify.pseudonyms import Pseudonyms

CANARY = "CANARY"
VALUES = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT", "PN", "UR"), CANARY),
    "AS": "031Y",
    "DA": "20240229",
    "DT": "20240229101112",
    "TM": "101112",
    "UI": "1.3.6.1.4.1.5.7",
    "DS": "31.5",
    "IS": "31",
    "FL": 31.5,
    "FD": 31.5,
    "US": 31,
    "SS": 31,
    "UL": 31,
    "SL": 31,
    "OB": b"CANARY",
    "UN": b"CANARY",
    "OW": b"CANARY",
}
NAMES = Pseudonyms(b"0123456789abcdef")
DISTINCT = {
    code: {tag for tag in tags if len(tag) == 2} for code, tags in vars(table).items() if code.endswith("_TAGS")
}


def filled(tags):
    data = Dataset()
    for tag in tags:
        vr = dictionary_VR(tag).split(" ")[0]
        if vr == "SQ":
            item = Dataset()
            item.CodeMeaning = CANARY
            data.add_new(tag, vr, Sequence([item]))
        elif vr in VALUES:
            data.add_new(tag, vr, VALUES[vr])
    return data


def known(tags):
    return [Tag(tag) for tag in tags if int(Tag(tag)) in DicomDictionary and Tag(tag).group >= 8]


def with_all_attributes():
    """All of the table at the top, and again in an item of a sequence that stays."""
    data = filled(known(DISTINCT["ALL_TAGS"]))
    data.SequenceOfUltrasoundRegions = Sequence([filled(known(DISTINCT["ALL_TAGS"]))])
    return data


@pytest.fixture(scope="module")
def cleaned():
    data = with_all_attributes()
    deidentify_header(data, NAMES, pixels_cleaned=True)
    return data


def levels(data):
    return [data, data.SequenceOfUltrasoundRegions[0]]


def test_removed_attributes_are_gone(cleaned):
    conditional = DISTINCT["X_Z_TAGS"] | DISTINCT["X_D_TAGS"] | DISTINCT["X_Z_D_TAGS"]
    for level in levels(cleaned):
        left = {dictionary_keyword(tag) for tag in known(DISTINCT["X_TAGS"] | conditional) if tag in level}
        assert left == {"AcquisitionDateTime"}  # type 1C of the ultrasound IODs: a dummy
        assert level.AcquisitionDateTime == "19000101000000"


def test_emptied_attributes_are_there_and_empty(cleaned):
    named = {"PatientID", "PatientName"}
    for level in levels(cleaned):
        for tag in known(DISTINCT["Z_TAGS"] | DISTINCT["Z_D_TAGS"]):
            if dictionary_keyword(tag) in named and level is cleaned:
                continue
            assert tag in level, dictionary_keyword(tag)
            assert not level[tag].value, dictionary_keyword(tag)


def test_dummies_tell_nothing(cleaned):
    for level in levels(cleaned):
        for tag in known(DISTINCT["D_TAGS"]):
            if tag in level:
                assert level[tag].value not in (*VALUES.values(), None, ""), dictionary_keyword(tag)
            else:
                assert dictionary_VR(tag) in {"SQ", "UN"}, dictionary_keyword(tag)


def test_uids_are_replaced_alike_at_every_depth(cleaned):
    for level in levels(cleaned):
        assert {level[tag].value for tag in known(DISTINCT["U_TAGS"])} == {NAMES.uid(VALUES["UI"])}


def test_no_canary_sings(cleaned):
    assert CANARY not in str(cleaned["PatientName"].value)
    singing = [element.keyword for element in cleaned.iterall() if element.VR != "SQ" and CANARY in str(element.value)]
    references = {"CodeMeaning"}  # of codes in references to images, which stay with their UIDs mapped
    assert set(singing) <= references


def test_what_needs_no_change_stays(kit):
    data = kit.dataset(kit.screens(1))
    before = copy.deepcopy(data.SequenceOfUltrasoundRegions)
    deidentify_header(data, NAMES, pixels_cleaned=True)
    assert (data.Modality, data.Manufacturer, data.FrameTime) == ("US", "Maker", 40)
    assert data.SequenceOfUltrasoundRegions == before


def test_private_unknown_and_unreadable_attributes_go_at_every_depth(kit):
    data = kit.dataset(kit.screens(1), regions=[kit.region()])
    for level in (data, data.SequenceOfUltrasoundRegions[0]):
        level.private_block(0x0011, "MAKER", create=True).add_new(1, "LO", CANARY)
        level.add_new(0x00190010, "LO", "MAKER")
        level.add_new(0x00189999, "LO", CANARY)  # in no dictionary
        level.add_new(0x60003000, "OW", b"CANARY")
        level.add_new(0x60000010, "US", 4)
        level.add_new(0x00180027, "TM", "101112")  # a time that the table does not list
        level.add_new(0x0040A123, "PN", CANARY)
    deidentify_header(data, NAMES, pixels_cleaned=True)
    for level in levels(data):
        assert not [tag for tag in level.keys() if tag.is_private or tag.group == 0x6000]  # noqa: SIM118
        assert 0x00189999 not in level
        assert 0x00180027 not in level
    assert CANARY not in str(data)


UNLISTED = [  # none of them in the table
    ("PatientBirthDateInAlternativeCalendar", "LO", CANARY),
    ("PatientDeathDateInAlternativeCalendar", "LO", CANARY),
    ("RetrieveURL", "UR", f"https://pacs/studies/1.2.3?patient={CANARY}"),
    ("CommentsOnTheScheduledProcedureStep", "LT", CANARY),
    ("DocumentTitle", "ST", CANARY),
    ("FrameOfInterestDescription", "LO", CANARY),
    ("SegmentLabel", "LO", CANARY),
    ("PlacerOrderNumberImagingServiceRequestRetired", "SH", CANARY),
    ("RegionFlags", "LO", CANARY),  # text where there should be a number
]


@pytest.mark.parametrize(("keyword", "vr", "value"), UNLISTED)
def test_what_the_table_does_not_list_and_could_name_somebody_goes(kit, keyword, vr, value):
    data = kit.dataset(kit.screens(1))
    assert tag_for_keyword(keyword) not in {tag[0] << 16 | tag[1] for tag in DISTINCT["ALL_TAGS"]}
    for level in (data, data.SequenceOfUltrasoundRegions[0]):
        level.add_new(tag_for_keyword(keyword), vr, value)
    deidentify_header(data, NAMES, pixels_cleaned=True)
    assert CANARY not in str(data)


def test_uids_that_the_table_does_not_list_are_replaced_unless_they_are_of_a_standard(kit):
    data = kit.dataset(kit.screens(1))
    item = Dataset()
    item.MultiFrameSourceSOPInstanceUID = VALUES["UI"]
    data.FrameExtractionSequence = Sequence([item])
    data.RelatedGeneralSOPClassUID = ["1.2.840.113619.4.26", "1.2.840.10008.5.1.4.1.1.6.1"]  # the first a maker's own
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "fetus"
    code.ContextUID = "1.2.840.10008.6.1.2"
    data.AnatomicRegionSequence = Sequence([code])
    deidentify_header(data, NAMES, pixels_cleaned=True)
    assert data.FrameExtractionSequence[0].MultiFrameSourceSOPInstanceUID == NAMES.uid(VALUES["UI"])
    assert data.RelatedGeneralSOPClassUID == ["1.2.840.113619.4.26", "1.2.840.10008.5.1.4.1.1.6.1"]
    assert data.AnatomicRegionSequence[0] == code


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("StudyTime", "TM", "Doe^Jane"),
        ("StudyDate", "DA", "20240229Doe^Jane"),
        ("SeriesDate", "DA", "20240229-20240309"),
        ("AcquisitionDateTime", "DT", "20240229101112 Doe"),
    ],
)
def test_shifting_keeps_nothing_that_is_no_date(kit, keyword, vr, value):
    data = kit.dataset(kit.screens(1))
    with config.disable_value_validation():
        data.add_new(tag_for_keyword(keyword), vr, value)
    deidentify_header(data, NAMES, [Keep.SHIFTED_DATES], pixels_cleaned=True)
    left = str(data.get(keyword) or "")
    assert not left.strip("0123456789"), left
    assert not left.startswith("2024"), left


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("before", ["YES", "NO", None])
def test_it_says_what_was_done_and_claims_no_more(kit, declared, before):
    data = kit.dataset(kit.screens(1))
    if before:
        data.BurnedInAnnotation = before
    deidentify_header(data, NAMES, pixels_cleaned=declared)
    unsure = "YES" if before == "YES" else None
    assert data.get("BurnedInAnnotation") == ("NO" if declared else unsure)
    assert data.PatientIdentityRemoved == ("YES" if declared else "NO")
    coded = [(item.CodeValue, item.CodingSchemeDesignator) for item in data.DeidentificationMethodCodeSequence]
    assert coded == [("113100", "DCM"), *([("113101", "DCM")] if declared else [])]
    assert all(len(text) < 60 for text in data.DeidentificationMethod)  # 64 with a longer version, and padded
    assert data.LongitudinalTemporalInformationModified == "REMOVED"


def test_shifted_dates_keep_their_distances_and_times(kit):
    data = kit.dataset(kit.screens(1), ContentDate="20240302", AcquisitionDateTime="20240229101112.5")
    with config.disable_value_validation():
        data.SeriesDate = "2024"
    deidentify_header(data, NAMES, [Keep.SHIFTED_DATES], pixels_cleaned=True)
    study, content = (date(int(day[:4]), int(day[4:6]), int(day[6:])) for day in (data.StudyDate, data.ContentDate))
    assert (content - study).days == 2
    assert data.AcquisitionDateTime == data.StudyDate + "101112.5"
    assert data.StudyTime == "101112"
    assert data.StudyDate != "20240229"
    assert not data.PatientBirthDate
    assert "SeriesDate" not in data  # not quite a date
    assert data.LongitudinalTemporalInformationModified == "MODIFIED"
    assert data.DeidentificationMethodCodeSequence[-1].CodeValue == "113107"


def test_options_keep_what_they_name_and_no_more():
    data = with_all_attributes()
    data.PatientSex = "F"
    deidentify_header(data, NAMES, [Keep.CHARACTERISTICS, Keep.DEVICE], pixels_cleaned=True)
    assert (data.PatientSex, data.PatientAge, data.DeviceSerialNumber) == ("F", "031Y", CANARY)
    assert "InstitutionName" not in data
    assert [item.CodeValue for item in data.DeidentificationMethodCodeSequence][2:] == ["113109", "113108"]


def test_patients_without_an_id_stay_apart(kit):
    ids = set()
    for study in ("1.2.3", "1.2.4", "1.2.4"):
        data = kit.dataset(kit.screens(1), PatientID="", StudyInstanceUID=study)
        deidentify_header(data, NAMES, pixels_cleaned=True)
        ids.add(data.PatientID)
    assert len(ids) == 2
