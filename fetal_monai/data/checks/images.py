"""The images of a data set, each file opened once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from fetal_monai.data.checks.finding import Finding
from fetal_monai.data.checks.perceptual_hash import Look, look_at
from fetal_monai.data.file_facts import FileFacts, facts_of
from fetal_monai.dicom import FrameRef, open_image
from fetal_monai.dicom.index import MANY
from fetal_monai.dicom.picture import Instance
from fetal_monai.errors import DicomReadError

WORKERS = 4
_BATCH = 1024
_CHUNK = 32

Progress = Callable[[int, int], None]
"""Called with the files that are done and their number."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An image that is to be looked at.

    Args:
        image: its address.
        row: in the table, 0 where there is none.
        split: "" where there is no table.
        label: the name of its class, "" where there is no table.
        patient: by the table, "" where it names none.
        device: likewise.
    """

    image: FrameRef
    row: int = 0
    split: str = ""
    label: str = ""
    patient: str = ""
    device: str = ""

    def __str__(self) -> str:
        if not self.row:
            return str(self.image)
        return f"row {self.row} ({', '.join(filter(None, (self.split, self.label, self.patient)))})"


@dataclass(frozen=True, slots=True)
class SeenImage:
    """An image that was looked at.

    Args:
        listed: where it stands.
        facts: of its file.
        digest: of its pixels: decoded ones where they were, else as they are stored.
        look: what it looks like; None where pixels were not decoded.
    """

    listed: Listed
    facts: FileFacts
    digest: str
    look: Look | None

    @property
    def device(self) -> str:
        """By the header, or else by the table: pictures have no header."""
        return self.facts.device or self.listed.device

    @property
    def patient(self) -> str:
        """The best that is known of whose it is: by the table, the header, or the study."""
        return self.listed.patient or self.facts.patient or self.facts.study


_Seen = tuple[FileFacts, str, Look | None]  # the rest of a `SeenImage`, from the process that saw it


def see_images(
    listed: Sequence[Listed], *, pixels: bool, pool: Executor | None = None, progress: Progress | None = None
) -> tuple[list[SeenImage], list[Finding]]:
    """Open every file once.

    Args:
        listed: the images.
        pixels: whether to decode them.
        pool: processes that do it, where there are many files; else threads do.
        progress: is told how far it is.

    Returns:
        The images that can be read, in the order of their paths, and a finding for each that cannot.
    """
    ordered = sorted(listed, key=lambda each: (each.image.path, each.image.frame))
    files = [list(group) for _, group in groupby(ordered, key=lambda each: each.image.path)]
    seen: list[SeenImage] = []
    findings: list[Finding] = []
    done = 0
    see = partial(_see_file, pixels=pixels)
    with ThreadPoolExecutor(WORKERS) as threads:
        chosen = threads if pool is None or len(files) < MANY else pool
        for start in range(0, len(files), _BATCH):  # so that an interrupt need not wait for all
            some = files[start : start + _BATCH]
            for group, results in zip(some, chosen.map(see, some, chunksize=_CHUNK), strict=True):
                for each, result in zip(group, results, strict=True):
                    if isinstance(result, Finding):
                        findings.append(result)
                    else:
                        seen.append(SeenImage(each, *result))
                done += 1
                if progress is not None:
                    progress(done, len(files))
    return seen, findings


def _see_file(group: list[Listed], *, pixels: bool) -> list[_Seen | Finding]:
    return list(_see(group, pixels))


def _see(group: list[Listed], pixels: bool) -> Iterator[_Seen | Finding]:
    try:
        with open_image(group[0].image.path) as instance:
            facts = facts_of(instance, pixels=not pixels)
            for each in group:
                try:
                    yield _see_frame(each.image.frame, instance, facts, pixels)
                except DicomReadError as error:
                    yield _unreadable(each, error)
    except DicomReadError as error:
        for each in group:
            yield _unreadable(each, error)


def _see_frame(number: int, instance: Instance, facts: FileFacts, pixels: bool) -> _Seen:
    if not pixels:
        return facts, f"{facts.pixels} {number}" if number > 0 else facts.pixels, None
    frame = instance.frame(number)
    digest = hashlib.sha256(f"{frame.shape}".encode())
    digest.update(frame.tobytes())
    return facts, digest.hexdigest(), look_at(frame)


def _unreadable(each: Listed, error: DicomReadError) -> Finding:
    place = f"{each}: " if each.row else ""
    return Finding("error", "unreadable", f"{place}{error}", (each.row,) if each.row else ())
