"""Studies: what the model finds in them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from fetal_monai.dicom import FrameRef
from fetal_monai.errors import DicomReadError
from fetal_monai.inference.inputs import Frame
from fetal_monai.inference.prediction import ModelIdentity, Prediction, ReadFailure
from fetal_monai.inference.predictor import Predictor
from fetal_monai.study.clip import Clip, analyse_clip
from fetal_monai.study.frame_quality import grey_picture, sharpness
from fetal_monai.study.grouping import StudyFiles

Picture = Callable[[NDArray[np.uint8]], bytes]
"""Draws a decoded frame, (3, H, W) uint8 RGB, such as a small JPEG."""

PICTURED_STILLS = 240
"""So many stills of a study have pictures at most: they take a few megabytes."""


@dataclass(frozen=True, eq=False)
class Study:
    """A study, and what the model found in it.

    Args:
        files: what it is made of.
        class_names: that the model knows.
        identity: of the model.
        stills: predictions, in the order of the files; `measured` is the sharpness.
        clips: with their segments.
        failures: files and frames that could not be read.
        pictures: of the first `PICTURED_STILLS` stills, by file, what `analyse_studies` was asked to draw.
    """

    files: StudyFiles
    class_names: tuple[str, ...]
    identity: ModelIdentity
    stills: tuple[Prediction, ...]
    clips: tuple[Clip, ...]
    failures: tuple[ReadFailure, ...] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def predictions(self) -> list[Prediction]:
        """All of them: stills, then the classified frames of each clip."""
        return [*self.stills, *(found for clip in self.clips for found in clip.predictions.values())]


def analyse_studies(
    studies: Iterable[StudyFiles],
    predictor: Predictor,
    *,
    every_frame: bool = False,
    picture: Picture | None = None,
    progress: Callable[[float], None] | None = None,
) -> Generator[Study, None, None]:
    """Look at studies one after another.

    Args:
        studies: as `group_studies` gave them.
        predictor: the model.
        every_frame: classify every frame of clips, see `analyse_clip`.
        picture: draws stills while their pixels are at hand, for `Study.pictures`.
        progress: called with the number of frames done, so far in all.

    Yields:
        Each study when it is done. A file that cannot be read is among its failures, and stops nothing.
    """
    tell = progress or (lambda _: None)
    before = 0.0
    ordered = list(studies)
    # One stream over all studies: the next ones are decoded while one is classified, and batches are full.
    pictured = frozenset(path for files in ordered for path in files.stills[:PICTURED_STILLS])
    measure = partial(_measure, picture, pictured)
    found = predictor.predict((FrameRef(path) for files in ordered for path in files.stills), measure=measure)
    for files in ordered:
        failures = list[ReadFailure]()
        stills = list[Prediction]()
        pictures = dict[str, bytes]()
        for still in islice(found, len(files.stills)):
            if isinstance(still, ReadFailure):
                failures.append(still)
            else:
                sharp, drawn = still.measured
                stills.append(replace(still, measured=sharp))
                if drawn is not None:
                    pictures[still.source] = drawn
            before += 1
            tell(before)
        clips = list[Clip]()
        for path, frames in files.clips.items():
            clip = _clip(path, predictor, every_frame, partial(_tell_share, tell, before, frames))
            before += frames
            tell(before)
            if isinstance(clip, ReadFailure):
                failures.append(clip)
                continue
            clips.append(clip)
            if clip.unreadable:
                failures.append(ReadFailure(path, unreadable_frames(clip)))
        yield Study(
            files, predictor.class_names, predictor.identity, tuple(stills), tuple(clips), tuple(failures), pictures
        )


def _measure(draw: Picture | None, pictured: frozenset[str], frame: Frame) -> tuple[float, bytes | None]:
    picture = draw(frame.pixels) if draw is not None and frame.source in pictured else None
    return sharpness(grey_picture(frame.pixels, frame.meta)), picture


def _clip(path: str, predictor: Predictor, every_frame: bool, progress: Callable[[float], None]) -> Clip | ReadFailure:
    try:
        return analyse_clip(path, predictor, every_frame=every_frame, progress=progress)
    except DicomReadError as error:
        return ReadFailure(path, str(error))


def _tell_share(tell: Callable[[float], None], before: float, frames: int, share: float) -> None:
    tell(before + share * frames)


def unreadable_frames(clip: Clip) -> str:
    """Say in one line which frames of a clip cannot be read.

    Args:
        clip: with at least one.

    Returns:
        The file, how many, which, and why the first cannot.
    """
    frames = sorted(clip.unreadable)
    shown = ", ".join(map(str, frames[:10])) + (", ..." if len(frames) > 10 else "")
    count = f"{len(frames)} of {clip.frames} frames cannot be read ({shown})"
    return f"{clip.source}: {count}: {clip.unreadable[frames[0]]}"
