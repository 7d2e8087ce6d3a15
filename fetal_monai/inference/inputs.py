"""From what a caller has (files, frames, arrays) to decoded frames, a few at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any, TypeAlias, Union

import numpy as np
import torch
from numpy.typing import NDArray

from fetal_monai.dicom import FrameRef, UltrasoundInstance, open_image
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.dicom.picture import is_picture
from fetal_monai.errors import DicomReadError
from fetal_monai.inference.prediction import ReadFailure


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded frame.

    Args:
        source: what it is called: its file, or `array 3`.
        uid: SOP Instance UID, None where there is none.
        index: zero-based frame of a clip, -1 for a still.
        pixels: (3, H, W) uint8 RGB.
        meta: what `UltrasoundReader` tells; empty for arrays.
        measured: what a caller's own measure said of the pixels.
    """

    source: str
    uid: str | None
    index: int
    pixels: NDArray[np.uint8]
    meta: dict[str, Any] = field(default_factory=dict)
    measured: Any = None


Input: TypeAlias = Union[str, "PathLike[str]", FrameRef, Frame, NDArray[np.uint8], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Run:
    """Some frames of one file, to be decoded with the file opened once; or one array or frame; or a known failure."""

    source: str
    frames: Sequence[int] = (STILL,)
    array: NDArray[np.uint8] | torch.Tensor | None = None
    decoded: Frame | None = None
    failure: ReadFailure | None = None


def plan_runs(inputs: Input | Iterable[Input], length: int) -> Iterator[Run]:
    """Turn inputs into runs, in their order.

    A `FrameRef` is that frame; the path of a DICOM file is all its frames; a picture, an array and a `Frame` that was
    decoded elsewhere are one image each.

    Args:
        inputs: one or many; many are taken one after another, so a generator may go on for ever.
        length: the most frames in one run.

    Yields:
        Runs. Files that cannot be opened become runs with a failure.

    Raises:
        TypeError: for an input of any other type.
    """
    path, frames = "", list[int]()
    arrays = 0
    for item in _one_or_many(inputs):
        if isinstance(item, FrameRef):
            if frames and (item.path != path or len(frames) >= length):
                yield Run(path, frames)
                frames = []
            path = item.path
            frames = [*frames, item.frame]
            continue
        if frames:
            yield Run(path, frames)
            frames = []
        if isinstance(item, (np.ndarray, torch.Tensor)):
            arrays += 1
            yield Run(f"array {arrays}", array=item)
        elif isinstance(item, Frame):
            yield Run(item.source, decoded=item)
        elif isinstance(item, (str, PathLike)):
            yield from _runs_of_file(fspath(item), length)
        else:
            raise TypeError(f"cannot classify a {type(item).__name__}; give a path, a FrameRef or an array of pixels")
    if frames:
        yield Run(path, frames)


def _one_or_many(inputs: Input | Iterable[Input]) -> Iterable[Input]:
    single = isinstance(inputs, (str, PathLike, Frame)) or (
        isinstance(inputs, (np.ndarray, torch.Tensor)) and inputs.ndim < 4
    )
    return [inputs] if single else inputs  # type: ignore[list-item, return-value]  # mypy cannot follow `single`


def _runs_of_file(path: str, length: int) -> Iterator[Run]:
    if is_picture(path):
        yield Run(path)
        return
    try:
        with UltrasoundInstance(path) as instance:
            count = len(instance)
    except DicomReadError as error:
        yield Run(path, failure=ReadFailure(path, str(error)))
        return
    indices = [STILL] if count == 1 else range(count)
    for start in range(0, len(indices), length):
        yield Run(path, indices[start : start + length])


def decode_frame(reference: FrameRef) -> Frame | ReadFailure:
    """Decode one frame of a file, or a picture.

    Args:
        reference: its address.

    Returns:
        The frame, or why there is none.
    """
    (frame,) = decode_run(Run(reference.path, [reference.frame]))
    return frame


def decode_run(run: Run) -> Iterator[Frame | ReadFailure]:
    """Decode the frames of a run, one in memory at a time.

    Args:
        run: as `plan_runs` made it.

    Yields:
        For each frame, in order, the decoded frame or the reason why there is none.
    """
    if run.failure is not None:
        yield run.failure
    elif run.decoded is not None:
        yield run.decoded
    elif run.array is not None:
        yield _array_frame(run.source, run.array)
    else:
        yield from _frames_of_file(run)


def _frames_of_file(run: Run) -> Iterator[Frame | ReadFailure]:
    try:
        with open_image(run.source) as instance:
            for index in run.frames:
                try:
                    pixels, meta = instance.frame(index), instance.metadata(index)
                except DicomReadError as error:
                    yield ReadFailure(str(FrameRef(run.source, index)), str(error))
                else:
                    yield Frame(run.source, meta["SOPInstanceUID"] or None, index, pixels, meta)
    except DicomReadError as error:
        for index in run.frames:
            yield ReadFailure(str(FrameRef(run.source, index)), str(error))


def _array_frame(source: str, array: NDArray[np.uint8] | torch.Tensor) -> Frame | ReadFailure:
    pixels = array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or 3 not in (pixels.shape[0], pixels.shape[-1]) or not pixels.size:
        return ReadFailure(
            source, f"{source}: {pixels.dtype} of shape {pixels.shape}; give uint8 RGB of shape (3, H, W) or (H, W, 3)"
        )
    planes = pixels if pixels.shape[0] == 3 else pixels.transpose(2, 0, 1)
    return Frame(source, None, STILL, np.ascontiguousarray(planes))
