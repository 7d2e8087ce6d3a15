"""The images of a data set, each file opened once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import groupby, islice

from fetal_monai.data.checks.finding import Finding
from fetal_monai.data.checks.image_table import DIGEST_BYTES, ImageTable, Listed
from fetal_monai.data.checks.perceptual_hash import Look, look_at
from fetal_monai.data.file_facts import FileFacts, facts_of
from fetal_monai.dicom import open_image
from fetal_monai.dicom.index import MANY
from fetal_monai.dicom.picture import Instance
from fetal_monai.errors import DicomReadError
from fetal_monai.utils.one_ahead import one_ahead

WORKERS = 4
_BATCH = 1024
_CHUNK = 32

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
        chosen = threads if pool is None or files < MANY else pool
        begun = _begun(listed, chosen, partial(_see_file, pixels=pixels))
        for batch in one_ahead(begun):
            for group, results in batch:
                for each, result in zip(group, results, strict=True):
                    if isinstance(result, Finding):
                        findings.append(result)
                    else:
                        seen.add(each, *result)
                done += 1
                if progress is not None:
                    progress(done, files)
    return seen, findings


def _begun(
    listed: Iterable[Listed], pool: Executor, see: Callable[[list[Listed]], list[_Seen | Finding]]
) -> Iterator[Iterator[tuple[list[Listed], list[_Seen | Finding]]]]:
    """Yield files in batches, so that an interrupt need not wait for all: their images, and what is seen of them."""
    grouped = (list(group) for _, group in groupby(listed, key=lambda each: each.image.path))
    while some := list(islice(grouped, _BATCH)):
        yield zip(some, pool.map(see, some, chunksize=_CHUNK), strict=True)


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
