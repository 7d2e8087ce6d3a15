"""A header made nameless: the profile applied at every depth, and said in the header itself (PS3.15 E.1.1)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection
from datetime import date, timedelta
from enum import Enum
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

import fetal_monai
from fetal_monai.deidentify.profile import EDITION, action_of, require_package
from fetal_monai.deidentify.pseudonyms import Pseudonyms
from fetal_monai.deidentify.unlisted import action_of_unlisted


class Keep(str, Enum):
    """Options of the profile: what is kept beyond it (PS3.15 E.3)."""

    DEVICE = "device"
    CHARACTERISTICS = "characteristics"
    SHIFTED_DATES = "shifted-dates"


_KEPT = {
    Keep.DEVICE: "DeviceSerialNumber DeviceUID GantryID StationName TransducerIdentificationSequence UDISequence",
    Keep.CHARACTERISTICS: "PatientSex PatientAge PatientSize PatientWeight EthnicGroup PregnancyStatus SmokingStatus",
    Keep.SHIFTED_DATES: "",  # no attribute stays as it is
}
_OPTION_CODES = {
    Keep.DEVICE: codes.DCM.RetainDeviceIdentityOption,
    Keep.CHARACTERISTICS: codes.DCM.RetainPatientCharacteristicsOption,
    Keep.SHIFTED_DATES: codes.DCM.RetainLongitudinalTemporalInformationModifiedDatesOption,
}
_PATIENT_GROUP = 0x0010  # birth, death, last menses: not among what the option of modified dates keeps
_REQUIRED = tag_for_keyword("AcquisitionDateTime")  # type 1C: the one that X/../D meets in ultrasound IODs
_CLOCK = r"(?:\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)"
_DAY = r"(\d{4})(\d{2})(\d{2})"
_GRAMMAR = {  # PS3.5 table 6.2-1, of single values: a range would give the shift away, a text whatever it says
    "DA": re.compile(f"{_DAY}()", re.ASCII),
    "DT": re.compile(rf"{_DAY}({_CLOCK}?(?:[+-]\d{{4}})?)", re.ASCII),
    "TM": re.compile(_CLOCK, re.ASCII),
}
_NO_TIME = {"DA": "19000101", "DT": "19000101000000", "TM": "000000"}


def deidentify_header(
    data: Dataset, pseudonyms: Pseudonyms, keep: Collection[Keep] = (), *, pixels_cleaned: bool
) -> None:
    """De-identify a header in place.

    Private attributes go, at every depth, and so does what nobody knows: attributes that are not in the dictionary or
    cannot be parsed, and what the profile does not list and could yet name somebody, see `action_of_unlisted`.

    Args:
        data: the data set without its pixels; file meta information is not touched.
        pseudonyms: for UIDs, PatientID and dates. PatientName follows the new PatientID; a file without a PatientID
            has one of its study.
        keep: options of the profile.
        pixels_cleaned: whether all is blanked that lies outside of regions without a banner; BurnedInAnnotation is NO.
            Otherwise it stays YES or is left out, and PatientIdentityRemoved is NO: nobody has looked yet.

    Example:
        >>> data = Dataset()
        >>> data.PatientName, data.PatientID, data.StudyInstanceUID, data.Modality = "Doe^Jane", "7", "1.2.3", "US"
        >>> deidentify_header(data, Pseudonyms(), pixels_cleaned=True)
        >>> data.PatientName == f"Anonymous^{data.PatientID}", data.PatientID == "7", data.Modality
        (True, False, 'US')
    """
    patient = str(data.get("PatientID") or "").strip() or f"study {data.get('StudyInstanceUID', '')}"
    burned_in = str(data.get("BurnedInAnnotation") or "").strip().upper()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of values that break a rule: they quote them
        _Cleaner(pseudonyms, keep, patient).clean(data)
    data.PatientID = pseudonyms.patient(patient)
    data.PatientName = f"Anonymous^{data.PatientID}"
    if pixels_cleaned:
        data.BurnedInAnnotation = "NO"
    elif burned_in != "YES" and "BurnedInAnnotation" in data:
        del data.BurnedInAnnotation
    _declare(data, keep, pixels_cleaned=pixels_cleaned)


def _declare(data: Dataset, keep: Collection[Keep], *, pixels_cleaned: bool) -> None:
    data.PatientIdentityRemoved = "YES" if pixels_cleaned else "NO"
    where = "all outside ultrasound regions" if pixels_cleaned else "at least the banner"
    data.DeidentificationMethod = [
        f"PS3.15 {EDITION} Basic Profile",
        f"fetal_monai {fetal_monai.__version__}: blanked {where}",
    ]
    options = [_OPTION_CODES[option] for option in Keep if option in keep]
    cleaned = [codes.DCM.CleanPixelDataOption] if pixels_cleaned else []
    profile = codes.DCM.BasicApplicationConfidentialityProfile
    data.DeidentificationMethodCodeSequence = Sequence(_coded(code) for code in (profile, *cleaned, *options))
    data.LongitudinalTemporalInformationModified = "MODIFIED" if Keep.SHIFTED_DATES in keep else "REMOVED"


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


class _Cleaner:
    """The profile with its options for one patient."""

    def __init__(self, pseudonyms: Pseudonyms, keep: Collection[Keep], patient: str) -> None:
        self._pseudonyms = pseudonyms
        self._kept = {tag_for_keyword(keyword) for option in keep for keyword in _KEPT[option].split()}
        self._days = pseudonyms.days(patient) if Keep.SHIFTED_DATES in keep else 0

    def clean(self, data: Dataset) -> None:
        for tag in list(data.keys()):
            action = action_of(tag)
            shifted = self._days and action and tag.group != _PATIENT_GROUP
            if (action == "X" and tag not in self._kept and not shifted) or not dictionary_has_tag(tag):
                del data[tag]
                continue
            try:
                self._apply(data, data[tag], action)
            except Exception:  # noqa: BLE001  # what cannot be understood cannot be cleaned
                del data[tag]
                if action.startswith("Z"):  # has to be there, if empty
                    data.add_new(tag, dictionary_VR(tag), None)

    def _apply(self, data: Dataset, element: DataElement, action: str) -> None:
        listed, action = bool(action), action or action_of_unlisted(element)
        if element.VR == "UN":
            del data[element.tag]
        elif element.tag in self._kept:
            self._keep(element)
        elif self._days and listed and element.VR in _NO_TIME and element.tag.group != _PATIENT_GROUP:
            element.value = _shifted(element, self._days)
        elif action == "U":
            element.value = _each(element.value, self._pseudonyms.uid)
        elif action in {"Z", "Z/D"}:
            element.value = Sequence() if element.VR == "SQ" else None
        elif action in {"", "X/Z/U*"}:
            self._keep(element)
        elif action == "D" and element.VR != "SQ":  # in a sequence, which no ultrasound IOD has, nothing is left to see
            _dummy(element)
        elif element.tag == _REQUIRED:
            element.value = _NO_TIME[element.VR]
        else:
            del data[element.tag]

    def _keep(self, element: DataElement) -> None:
        if element.VR == "SQ":
            for item in element.value:
                self.clean(item)
        elif element.VR in {"DS", "IS"}:
            _each(element.value, lambda text: str(float(text)))  # a text instead of a number raises, and goes


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, MultiValue):
        return [change(str(item)) for item in value]
    return change(str(value)) if value else value


def _dummy(element: DataElement) -> None:
    if element.VR in _NO_TIME:
        element.value = _NO_TIME[element.VR]
    else:
        require_package("dicomanonymizer.simpledicomanonymizer", "dicom-anonymizer").replace_element(element)


def _shifted(element: DataElement, days: int) -> Any:
    """The dates `days` later, times as they are; what is not quite a date or a time raises, and goes."""

    def shift(value: str) -> str:
        found = _GRAMMAR[element.VR].fullmatch(value.strip(" \0"))
        if found is None:
            raise ValueError(element.VR)
        if element.VR == "TM":
            return found[0]
        day = date(int(found[1]), int(found[2]), int(found[3])) + timedelta(days)
        return day.strftime("%Y%m%d") + found[4]

    return _each(element.value, shift)
