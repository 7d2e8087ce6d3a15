"""What an archive holds, and how an instance comes from there: as it was stored, byte by byte."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dicomweb_client import DICOMwebClient
from pydicom.uid import UltrasoundMultiFrameImageStorage

from fetal_monai.data.frames import ULTRASOUND_MODALITIES
from fetal_monai.dicom.index import index_file
from fetal_monai.dicomweb.connection import Connection, open_session
from fetal_monai.dicomweb.faults import SERVICE_REMEDY, ArchiveError, origin, with_retries
from fetal_monai.dicomweb.multipart import first_part
from fetal_monai.errors import InputError
from fetal_monai.utils.files import atomic_path

MOST_STUDIES = 1_000_000
MOST_SERIES = 1_000_000
MOST_INSTANCES = 20_000
"""Of one study."""
PAGE = 500
"""Rows of a listing that are asked for at once."""
_PIECE = 1 << 18
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_COUNT = re.compile("[0-9]{1,9}")
_STUDY, _SERIES, _INSTANCE, _MODALITY, _MODALITIES, _DATE, _FRAMES, _CLASS = (
    *("0020000D", "0020000E", "00080018"),
    *("00080060", "00080061", "00080020"),
    *("00280008", "00080016"),
)
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RemoteInstance:
    """Where an instance is in an archive; each UID is checked: digits and dots.

    Args:
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        uid: SOPInstanceUID.
        clip: whether it has several frames, as far as the archive tells.
    """

    study: str
    series: str
    uid: str
    clip: bool = False


class Archive:
    """A DICOMweb service that is searched (QIDO-RS) and read (WADO-RS).

    Args:
        connection: where it is, and who asks.

    Raises:
        InputError: if the URL or a certificate file is not right. Nothing is asked yet.

    Example:
        >>> archive = Archive(Connection("https://pacs.example/dicom-web"))
        >>> for instance in archive.instances("1.2.3"):  # doctest: +SKIP
        ...     archive.retrieve(instance, Path(f"{instance.uid}.dcm"))
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._session = open_session(connection)
        self.url = connection.url.rstrip("/")
        self._wado = f"{self.url}/{connection.wado_prefix.strip('/')}" if connection.wado_prefix else self.url
        qido = (connection.qido_prefix or "").strip("/") or None
        self._client = DICOMwebClient(self.url, session=self._session, qido_url_prefix=qido, permissive_uid=True)
        self._client.set_http_retry_params(retry=False)  # `with_retries` does, also when an answer breaks off

    def studies_since(self, since: date) -> list[str]:
        """Find the studies with ultrasound from a day on.

        Args:
            since: the first StudyDate.

        Returns:
            Their StudyInstanceUIDs, as the archive lists them.

        Raises:
            ArchiveError: if it does not answer, or not as QIDO-RS does.
        """
        first = f"{since:%Y%m%d}"
        # Not by ModalitiesInStudy: with an offset, Orthanc 1.10 then leaves studies out without a word.
        filters = {"StudyDate": f"{first}-"}
        found = []
        for row in self._pages(self._client.search_for_studies, _STUDY, MOST_STUDIES, search_filters=filters):
            modalities = _values(row, _MODALITIES)
            # What the archive does not tell, the study's series will; a filter that it does not know it ignores.
            wanted = not modalities or any(one in ULTRASOUND_MODALITIES for one in modalities)
            if wanted and (_values(row, _DATE) or [first])[0] >= first:
                found.append(self._uid(row, _STUDY))
        return found

    def instances(self, study: str) -> list[RemoteInstance]:
        """List the ultrasound of a study.

        Args:
            study: its StudyInstanceUID.

        Returns:
            Each instance of the series of modality US or IVUS, and of those of which the archive does not tell.

        Raises:
            InputError: if the UID is none.
            ArchiveError: if the archive does not have the study, has no ultrasound in it, or does not answer.
        """
        check_uid(study)
        series = list(self._pages(self._client.search_for_series, _SERIES, MOST_INSTANCES, study_instance_uid=study))
        if not series:
            raise ArchiveError(f"{origin(self.url)}: has no study {study}; check the UID, and your right to see it")
        seen = {value for row in series for value in _values(row, _MODALITY)}
        wanted = [row for row in series if not (kinds := _values(row, _MODALITY)) or kinds[0] in ULTRASOUND_MODALITIES]
        if not wanted:
            only = ", ".join(sorted(seen))[:60]
            raise NoUltrasoundError(f"study {study}: no ultrasound in it, only {only}; choose another")
        found = list[RemoteInstance]()
        for row in wanted:
            found += self._of_series(study, self._uid(row, _SERIES), MOST_INSTANCES - len(found))
        return found

    def all_instances(self) -> list[RemoteInstance]:
        """List all ultrasound that the archive has.

        Returns:
            Each instance of the series of modality US or IVUS; none if it has no such series.

        Raises:
            ArchiveError: if it does not answer, or not as QIDO-RS does.
        """
        series = dict[tuple[str, str], None]()
        for modality in ULTRASOUND_MODALITIES:
            filters = {"Modality": modality}
            for row in self._pages(self._client.search_for_series, _SERIES, MOST_SERIES, search_filters=filters):
                if (_values(row, _MODALITY) or [modality])[0] == modality:  # a filter that it does not know it ignores
                    series[self._uid(row, _STUDY), self._uid(row, _SERIES)] = None
        return [instance for study, uid in series for instance in self._of_series(study, uid, MOST_INSTANCES)]

    def _of_series(self, study: str, series: str, most: int) -> list[RemoteInstance]:
        where = {"study_instance_uid": study, "series_instance_uid": series}
        rows = self._pages(self._client.search_for_instances, _INSTANCE, most, **where)
        return [RemoteInstance(study, series, self._uid(row, _INSTANCE), _is_clip(row)) for row in rows]

    def retrieve(self, instance: RemoteInstance, path: Path) -> None:
        """Bring an instance to a file as it is stored, in its own transfer syntax, a little in memory at a time.

        Args:
            instance: from `instances`.
            path: the file, made whole or not at all.

        Raises:
            ArchiveError: if the answer is another than this instance, or ends too soon or never.
            OSError: if the file cannot be written.
        """
        self._patiently(partial(self._retrieve, instance, path))

    def _retrieve(self, instance: RemoteInstance, path: Path) -> None:
        url = f"{self._wado}/studies/{instance.study}/series/{instance.series}/instances/{instance.uid}"
        # Not compressed once more by HTTP: what is counted is what was stored.
        headers = {
            "Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*',
            "Accept-Encoding": "identity",
        }
        with self._session.get(url, headers=headers, stream=True) as answer, atomic_path(path) as temporary:
            with temporary.open("wb") as file:
                for piece in first_part(answer.headers.get("Content-Type", ""), answer.iter_content(_PIECE)):
                    file.write(piece)
            self._check(instance, temporary)

    def _check(self, instance: RemoteInstance, path: Path) -> None:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                raise ArchiveError(f"{origin(self.url)}: instance {instance.uid} is no DICOM file; look at the archive")
        entry = index_file(path)  # what cannot be read is as it was stored, and told like any other file
        if not isinstance(entry, str) and entry.sop_instance_uid != instance.uid:
            problem = "sends another instance than the one it was asked for"
            raise ArchiveError(f"{origin(self.url)}: {problem} ({instance.uid}); look at the archive")

    def _pages(self, search: Callable[..., Any], key: str, most: int, **options: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a listing, each once, page by page until one brings nothing new."""
        seen = set[str]()
        offset = 0
        while True:
            page = self._patiently(partial(self._search, search, limit=PAGE, offset=offset, **options))
            fresh = {self._uid(row, key): row for row in page}
            fresh = {uid: row for uid, row in fresh.items() if uid not in seen}
            if not fresh:
                return
            seen |= fresh.keys()
            if len(seen) > most:
                raise ArchiveError(
                    f"{origin(self.url)}: lists more than {most} items; ask for fewer, such as a later --since"
                )
            yield from fresh.values()
            offset += len(page)

    def _search(self, search: Callable[..., Any], **options: Any) -> list[Mapping[str, Any]]:
        try:
            rows = search(**options)
        except (ValueError, RecursionError):  # of the JSON
            rows = None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ArchiveError(f"{origin(self.url)}: its answer to a search is no DICOM JSON; {SERVICE_REMEDY}")
        return rows

    def _uid(self, row: Mapping[str, Any], tag: str) -> str:
        uid = (_values(row, tag) or [""])[0]
        if not is_uid(uid):  # it becomes part of a path and of a URL
            remedy = "look at the archive" if uid else SERVICE_REMEDY
            raise ArchiveError(f"{origin(self.url)}: lists {uid[:80]!r} where a UID belongs; {remedy}")
        return uid

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        return with_retries(ask, attempts=self._connection.attempts, pause_s=self._connection.pause_s)


class NoUltrasoundError(ArchiveError):
    """A study holds other modalities only."""


def is_uid(text: str) -> bool:
    """Whether a text is a UID: digits and dots, 64 at most; nothing that could lead elsewhere as part of a path.

    Args:
        text: any.

    Returns:
        True if it is.

    Example:
        >>> is_uid("1.2.840.10008"), is_uid("../1.2"), is_uid("1..2"), is_uid("")
        (True, False, False, False)
    """
    return len(text) <= 64 and _UID.fullmatch(text) is not None and text.isascii()


def check_uid(text: str) -> None:
    """Raise if a text is no UID.

    Args:
        text: that a person gave.

    Raises:
        InputError: if it is none.
    """
    if not is_uid(text):
        raise InputError("--study", [f"{text!r} is no StudyInstanceUID: digits and dots, 64 at most; copy it again"])


def _values(row: Mapping[str, Any], tag: str) -> list[str]:
    """The values of an element in DICOM JSON, as text; none where there is anything else."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return [str(value).strip() for value in values] if isinstance(values, list) else []


def _is_clip(row: Mapping[str, Any]) -> bool:
    """By NumberOfFrames, or by the SOP class where an archive leaves that out."""
    frames = (_values(row, _FRAMES) or [""])[0]
    if _COUNT.fullmatch(frames):
        return int(frames) > 1
    return UltrasoundMultiFrameImageStorage in _values(row, _CLASS)
