"""Where an image comes from, by its header: patient, study, device; and a digest of its stored pixels."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from os import PathLike

from fetal_monai.dicom import open_image
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.picture import Instance


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Where an image comes from. Patients and studies are digests: equal for equal ids, and not the ids themselves.

    Args:
        path: the file.
        patient: digest of PatientID, "" where there is none.
        study: digest of StudyInstanceUID, "" where there is none.
        device: manufacturer and model.
        rows: height of a frame in pixels.
        columns: width of a frame in pixels.
        pixels: SHA-256 of the stored pixels of all frames, compressed as they are; "" where it was not asked for.
    """

    path: str
    patient: str
    study: str
    device: str
    rows: int
    columns: int
    pixels: str = ""


def read_file_facts(path: str | PathLike[str], *, pixels: bool = False) -> FileFacts:
    """Read a file's header, and its pixels without decoding them.

    Args:
        path: a DICOM image, PNG or JPEG.
        pixels: whether to make their digest, for which the whole file is read.

    Returns:
        The facts.

    Raises:
        DicomReadError: if it cannot be read.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> facts = read_file_facts(get_testdata_file("examples_ybr_color.dcm"), pixels=True)
        >>> facts.rows, facts.columns, len(facts.patient), len(facts.pixels)
        (240, 320, 16, 64)
    """
    with open_image(path) as instance:
        return facts_of(instance, pixels=pixels)


def facts_of(instance: Instance, *, pixels: bool = False) -> FileFacts:
    """The same of an instance that is open.

    Args:
        instance: an image.
        pixels: whether to make their digest.

    Returns:
        The facts.

    Raises:
        DicomReadError: if its header cannot be understood.
    """
    meta = instance.metadata(STILL if len(instance) == 1 else 0)
    study = str(meta["StudyInstanceUID"])
    return FileFacts(
        path=instance.path,
        patient=sys.intern(str(meta["patient"])),  # the same few for many files
        study=sys.intern(hashlib.sha256(study.encode()).hexdigest()[:16] if study else ""),
        device=sys.intern(" ".join(filter(None, (meta["Manufacturer"], meta["model"])))),
        rows=instance.layout.rows,
        columns=instance.layout.columns,
        pixels=_digest(instance) if pixels else "",
    )


def _digest(instance: Instance) -> str:
    digest = hashlib.sha256()
    for block in instance.stored():
        digest.update(block)
    return digest.hexdigest()
