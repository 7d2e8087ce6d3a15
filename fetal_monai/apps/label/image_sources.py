"""Where images come from: a folder of DICOM, PNG and JPEG files, or an archive that speaks DICOMweb."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fetal_monai.data.frames import ULTRASOUND_MODALITIES, pictures_of
from fetal_monai.dicom import FrameRef, UltrasoundInstance, index_dicom
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.picture import is_picture
from fetal_monai.dicomweb.archive import Archive
from fetal_monai.dicomweb.connection import Connection
from fetal_monai.dicomweb.credentials import Credentials
from fetal_monai.dicomweb.faults import CREDENTIALS_REMEDY
from fetal_monai.errors import DicomReadError, FetalMonaiError, InputError

PATIENCE_S = 20.0
"""With an archive that is silent: somebody waits at a page."""
_REMEDIES = {
    CREDENTIALS_REMEDY: "set MONAI_LABEL_DATASTORE_USERNAME and MONAI_LABEL_DATASTORE_PASSWORD",
    "FETAL_MONAI_DICOMWEB_USER and ..._PASSWORD": "MONAI_LABEL_DATASTORE_USERNAME and ..._PASSWORD",
    "give that of the authority that signed it with --ca FILE": "name the file of its authority in REQUESTS_CA_BUNDLE",
    "give one that it trusts with --client-cert FILE": "ask through a proxy that has one",
    "ask for fewer, such as a later --since": "label files of a folder",
}


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
    """All ultrasound of an archive, known by SOPInstanceUID; each instance is downloaded when first asked for.

    Args:
        connection: where the archive is, and who asks.
        cache: a folder for what was downloaded.

    Raises:
        FetalMonaiError: if the archive cannot be reached, refuses, answers nonsense, or has no ultrasound.
    """

    def __init__(self, connection: Connection, cache: str | os.PathLike[str]) -> None:
        self.name = connection.url
        self.cache = Path(cache)
        with _in_our_words():
            self._archive = Archive(connection)
            self._instances = {instance.uid: instance for instance in self._archive.all_instances()}
        if not self._instances:
            problem = "the archive has no series of Modality US or IVUS; store some, or ask for other rights"
            raise InputError(self.name, [problem])

    def list_ids(self) -> list[str]:
        """List the SOPInstanceUIDs, sorted."""
        return sorted(self._instances)

    def list_clips(self) -> list[str]:
        """List the SOPInstanceUIDs of clips, as far as the archive tells which they are."""
        return sorted(uid for uid, instance in self._instances.items() if instance.clip)

    def fetch(self, image_id: str) -> ImageFile:
        """Download the instance as it was stored, byte by byte; see `ImageSource.fetch`."""
        instance = self._instances[image_id]
        path = self.cache / f"{instance.uid}.dcm"
        if not path.exists():
            with _in_our_words():
                self._archive.retrieve(instance, path)
        return describe_file(str(path))


@contextmanager
def _in_our_words() -> Iterator[None]:
    """The remedies are those of `predict --dicomweb`, whose options have other names."""
    try:
        yield
    except FetalMonaiError as error:
        said = str(error)
        for theirs, ours in _REMEDIES.items():
            said = said.replace(theirs, ours)
        raise FetalMonaiError(said) from error


def open_source(
    studies: str,
    cache: str | os.PathLike[str],
    *,
    credentials: Credentials | None = None,
    qido_prefix: str | None = None,
    wado_prefix: str | None = None,
) -> ImageSource:
    """Open a folder or an archive.

    Args:
        studies: a folder, or a URL that begins with http:// or https://.
        cache: where downloads go.
        credentials: for an archive that asks who is there.
        qido_prefix: see `Connection`.
        wado_prefix: likewise.

    Returns:
        The source.

    Raises:
        FetalMonaiError: if there is nothing to label, or an archive does not answer.
    """
    if not studies.startswith(("http://", "https://")):
        return FolderSource(studies)
    connection = Connection(
        studies.rstrip("/"),
        credentials,
        connect_s=PATIENCE_S,
        silence_s=PATIENCE_S,
        attempts=2,
        qido_prefix=qido_prefix,
        wado_prefix=wado_prefix,
    )
    return DicomWebSource(connection, cache)
