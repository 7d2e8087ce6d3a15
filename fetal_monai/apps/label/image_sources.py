"""Where images come from: a folder of DICOM, PNG and JPEG files, or an archive that speaks DICOMweb."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom.uid import UltrasoundMultiFrameImageStorage

from fetal_monai.data.frames import ULTRASOUND_MODALITIES, pictures_of
from fetal_monai.dicom import FrameRef, UltrasoundInstance, index_dicom
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.picture import is_picture
from fetal_monai.errors import DicomReadError, FetalMonaiError, InputError
from fetal_monai.utils.files import atomic_path

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class ImageFile:
    """One image of the datastore, on this machine's disk.

    Args:
        path: the file.
        frames: 1 for stills and pictures.
        patient: a digest of PatientID (of StudyInstanceUID where that is empty), never the id itself; empty if unknown.
        picture: whether it is a PNG or JPEG instead of DICOM.
    """

    path: str
    frames: int
    patient: str
    picture: bool = False

    def reference(self, frame: int) -> FrameRef:
        """Address one frame, as `Predictor` takes it.

        Args:
            frame: zero-based; -1 and 0 both stand for the only frame of a still.

        Returns:
            The address, with -1 for stills.

        Raises:
            DicomReadError: if there is no such frame.
        """
        if self.frames == 1 and frame in {STILL, 0}:
            return FrameRef(self.path, STILL)
        if not 0 <= frame < self.frames:
            cause = f"there is no frame {frame}: it has {self.frames}" if frame != STILL else "a clip has many frames"
            remedy = f"use a frame from 0 to {self.frames - 1}" if self.frames > 1 else "use -1 or 0 for a still"
            raise DicomReadError(Path(self.path).name, cause, remedy)
        return FrameRef(self.path, frame)


class ImageSource(Protocol):
    """What the datastore asks of a place with images."""

    name: str

    def list_ids(self) -> list[str]:
        """List the ids of all images, in a fixed order."""

    def list_clips(self) -> list[str]:
        """List the ids of those that have several frames, as far as this is known without opening them."""

    def fetch(self, image_id: str) -> ImageFile:
        """Bring an image to this machine's disk, if it is not there yet.

        Raises:
            KeyError: if there is no image of that id.
            FetalMonaiError: if it cannot be had.
        """


def describe_file(path: str) -> ImageFile:
    """Look into a file.

    Args:
        path: a DICOM, PNG or JPEG file.

    Returns:
        What it holds.

    Raises:
        DicomReadError: if it is a damaged DICOM file.
    """
    if is_picture(path):
        return ImageFile(path, frames=1, patient="", picture=True)
    with UltrasoundInstance(path) as instance:
        meta = instance.metadata(0)
        return ImageFile(path, frames=len(instance), patient=meta["patient"] or meta["StudyInstanceUID"])


class FolderSource:
    """DICOM files of Modality US, known by SOPInstanceUID, and pictures, known by their path below the folder.

    Args:
        folder: looked through at any depth; hidden files and folders are passed over.

    Raises:
        InputError: if there is no such folder, or no image in it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.name = str(folder)
        index = index_dicom(folder)
        found = {
            uid: entry for uid, entry in index.items() if entry.modality in ULTRASOUND_MODALITIES and entry.frames > 0
        }
        self._paths = {uid: entry.path for uid, entry in found.items()}
        self._clips = [uid for uid, entry in found.items() if entry.frames > 1]
        self._paths |= {Path(path).relative_to(self.folder).as_posix(): path for path in pictures_of(index)}
        if not self._paths:
            problem = f"no image among {len(index)} DICOM files; give a folder with DICOM of Modality US, PNG or JPEG"
            raise InputError(folder, [problem])

    def list_ids(self) -> list[str]:
        """List SOPInstanceUIDs and the pictures' relative paths."""
        return list(self._paths)

    def list_clips(self) -> list[str]:
        """List the SOPInstanceUIDs of clips."""
        return list(self._clips)

    def fetch(self, image_id: str) -> ImageFile:
        """Describe the file; see `ImageSource.fetch`."""
        return describe_file(self._paths[image_id])


class DicomWebSource:
    """The instances of all series of Modality US in an archive; each is downloaded when first asked for.

    Args:
        url: the DICOMweb service, such as http://archive/dicom-web; QIDO-RS and WADO-RS are used.
        cache: a folder for what was downloaded.
        user: name and password for HTTP basic authentication.
        prefixes: `qido_url_prefix` and `wado_url_prefix`, where the archive has any.

    Raises:
        InputError: if the server cannot be reached, refuses, or has no ultrasound.
    """

    def __init__(
        self,
        url: str,
        cache: str | os.PathLike[str],
        *,
        user: tuple[str, str] | None = None,
        prefixes: Mapping[str, str | None] | None = None,
    ) -> None:
        if urlsplit(url).username:
            problem = (
                "a user in the URL would end in logs; set MONAI_LABEL_DATASTORE_USERNAME and "
                "MONAI_LABEL_DATASTORE_PASSWORD instead"
            )
            raise InputError("--studies", [problem])
        self.name = url
        self.cache = Path(cache)
        session = requests.Session()
        session.auth = user
        options: dict[str, Any] = {key: value for key, value in (prefixes or {}).items() if value}
        self._client = DICOMwebClient(url=url, session=session, timeout=TIMEOUT_S, **options)
        self._client.set_http_retry_params(retry=False)
        self._where: dict[str, tuple[str, str]] = {}
        self._clips: list[str] = []
        for series in self._ask(self._client.search_for_series, search_filters={"Modality": "US"}, get_remaining=True):
            study_uid, series_uid = _value(series, "0020000D"), _value(series, "0020000E")
            found = self._ask(self._client.search_for_instances, study_uid, series_uid, get_remaining=True)
            self._where.update({_value(instance, "00080018"): (study_uid, series_uid) for instance in found})
            self._clips += [_value(instance, "00080018") for instance in found if _is_clip(instance)]
        if not self._where:
            raise InputError(url, ["the archive has no series of Modality US; store some, or ask for other rights"])

    def list_ids(self) -> list[str]:
        """List the SOPInstanceUIDs, sorted."""
        return sorted(self._where)

    def list_clips(self) -> list[str]:
        """List the SOPInstanceUIDs of clips, as far as the archive tells which they are."""
        return sorted(self._clips)

    def fetch(self, image_id: str) -> ImageFile:
        """Download the instance as it was stored, without transcoding; see `ImageSource.fetch`."""
        study, series = self._where[image_id]
        path = self.cache / f"{quote(image_id, safe='')}.dcm"
        if not path.exists():
            dataset = self._ask(
                self._client.retrieve_instance, study, series, image_id, media_types=(("application/dicom", "*"),)
            )
            with atomic_path(path) as temporary:
                dataset.save_as(temporary, enforce_file_format=True)
        return describe_file(str(path))

    def _ask(self, method: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except requests.HTTPError as error:
            code = error.response.status_code if error.response is not None else "unknown"
            problem = f"the DICOMweb server answers with status {code}; check the URL and the user's rights"
            raise InputError(self.name, [problem]) from error
        except requests.RequestException as error:
            problem = f"the DICOMweb server cannot be reached ({type(error).__name__}); check the URL and that it runs"
            raise InputError(self.name, [problem]) from error
        except ValueError as error:
            problem = f"the answer is not DICOMweb ({str(error)[:100]}); give the URL of the service, often /dicom-web"
            raise InputError(self.name, [problem]) from error


def open_source(
    studies: str, cache: str | os.PathLike[str], *, user: tuple[str, str] | None, prefixes: Mapping[str, str | None]
) -> ImageSource:
    """Open a folder or an archive.

    Args:
        studies: a folder, or a URL that begins with http:// or https://.
        cache: where downloads go.
        user: for an archive that asks who is there.
        prefixes: see `DicomWebSource`.

    Returns:
        The source.

    Raises:
        InputError: if there is nothing to label.
    """
    if studies.startswith(("http://", "https://")):
        return DicomWebSource(studies.rstrip("/"), cache, user=user, prefixes=prefixes)
    return FolderSource(studies)


def _value(item: Mapping[str, Any], tag: str) -> str:
    values: Sequence[Any] = item.get(tag, {}).get("Value", [])
    if not values:
        raise FetalMonaiError(f"the DICOMweb server left {tag} out of its answer; its QIDO-RS is incomplete")
    return str(values[0])


def _is_clip(instance: Mapping[str, Any]) -> bool:
    """Whether an instance has several frames: by NumberOfFrames, or its SOP class where an archive leaves that out."""
    frames = instance.get("00280008", {}).get("Value")
    if frames:
        return int(frames[0]) > 1
    return UltrasoundMultiFrameImageStorage in instance.get("00080016", {}).get("Value", [])
