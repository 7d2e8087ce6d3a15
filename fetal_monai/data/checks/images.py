"""The images of a data set, each file opened once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import chain, groupby, islice

from fetal_monai.data.checks.finding import Finding
from fetal_monai.data.checks.image_table import DIGEST_BYTES, ImageTable, Listed
from fetal_monai.data.checks.perceptual_hash import Look, look_at
from fetal_monai.data.file_facts import FileFacts, facts_of
from fetal_monai.dicom import open_image
from fetal_monai.dicom.index import MANY
from fetal_monai.dicom.picture import Instance
from fetal_monai.errors import DicomReadError
from fetal_monai.utils.work_ahead import work_ahead

WORKERS = 4
_CHUNK = 32  # files that a process looks at at once
_AHEAD = 32

Progress = Callable[[int, int], None]
"""Called with the files that are done and their number."""


_Seen = tuple[FileFacts, bytes, Look | None]  # the rest of a `SeenImage`, from the process that saw it


def see_images(
    listed: Iterable[Listed],
    files: int,
    *,
    pixels: bool,
    pool: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[ImageTable, list[Finding]]:
    """Open every file once.

    Args:
        listed: the images, those of one file one after another.
        files: how many they are of.
        pixels: whether to decode them.
        pool: processes that do it, where there are many files; else threads do.
        progress: is told how far it is.

    Returns:
        The images that can be read, in their order, and a finding for each that cannot.
    """
    seen = ImageTable()
    findings: list[Finding] = []
    done = 0
    with ThreadPoolExecutor(WORKERS) as threads:
        chosen, chunk = (threads, 1) if pool is None or files < MANY else (pool, _CHUNK)
        with closing(work_ahead(chosen, _tasks(listed, chunk, pixels), _AHEAD)) as looked:
            for groups, results in looked:
                for each, result in zip(chain(*groups), results, strict=True):
                    if isinstance(result, Finding):
                        findings.append(result)
                    else:
                        seen.add(each, *result)
                done += len(groups)
                if progress is not None:
                    progress(done, files)
    return seen, findings


def _tasks(
    listed: Iterable[Listed], chunk: int, pixels: bool
) -> Iterator[tuple[list[list[Listed]], Callable[[], list[_Seen | Finding]]]]:
    """Yield some files at a time, each as its images, and how to look at them."""
    files = (list(images) for _, images in groupby(listed, key=lambda each: each.image.path))
    while some := list(islice(files, chunk)):
        yield some, partial(_see_files, some, pixels)


def _see_files(files: list[list[Listed]], pixels: bool) -> list[_Seen | Finding]:
    return [found for images in files for found in _see(images, pixels)]


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
        return facts, _digest(f"{facts.pixels} {max(number, 0)}".encode()), None
    frame = instance.frame(number)
    return facts, _digest(f"{frame.shape}".encode(), frame.tobytes()), look_at(frame)


def _digest(*contents: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for content in contents:
        digest.update(content)
    return digest.digest()


def _unreadable(each: Listed, error: DicomReadError) -> Finding:
    place = f"{each}: " if each.row else ""
    return Finding("error", "unreadable", f"{place}{error}", (each.row,) if each.row else ())
