"""A clip of any length to its planes: where each begins and ends, and the frame that shows it best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fetal_monai.data.plane_codes import is_standard_plane
from fetal_monai.dicom import FrameRef, UltrasoundInstance
from fetal_monai.dicom.frame_times import frame_times
from fetal_monai.inference.prediction import Prediction, ReadFailure
from fetal_monai.inference.predictor import Predictor
from fetal_monai.study.frame_quality import ClipQuality, measure_clip
from fetal_monai.study.key_frames import Merit, choose_key_frame
from fetal_monai.study.segmentation import steadiest_path, stretches

LOOK_EVERY = 0.2
"""Seconds between the frames that are classified first."""
LEAST_SECONDS = 0.3
"""How long a plane has to be held to count."""
DOUBT = 0.5
"""What a class has to be more probable than, over a stretch, so that it is not called no plane."""
UNLIKE_TRAINING = 0.1
"""What the classes' probabilities are worth where a frame is out of distribution."""
ASSUMED_STEP = 0.04
"""Seconds from frame to frame where the header does not tell; no times are given then."""
_ROUNDING = 1e-6  # seconds


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of a clip that shows one plane.

    Args:
        plane: the class.
        first: frame.
        last: frame, included.
        start: seconds since the first frame of the clip; None where the header does not tell.
        end: when the last frame of the segment gives way to the next.
        confidence: mean probability of the plane over the classified frames.
        key_frame: the prediction of the frame that shows it best.
        merit: why it is that frame; sharpness is compared within the segment.
        sharpness: of that frame, as `frame_quality` measures it, to compare with other clips and stills.
    """

    plane: str
    first: int
    last: int
    start: float | None
    end: float | None
    confidence: float
    key_frame: Prediction
    merit: Merit
    sharpness: float

    @property
    def certain(self) -> bool:
        """Whether the model stands by the plane of the key frame, see `Prediction.shows`."""
        return self.key_frame.shows(self.plane)


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip and what is in it.

    Args:
        source: the file.
        sop_instance_uid: of the instance.
        frames: how many it has.
        times: (T,) seconds of each frame since the first; None where the header does not tell.
        predictions: of the frames that were classified, by frame, ascending.
        segments: in order; what lies between is no plane that the model knows.
        unreadable: frame -> why it cannot be read.
    """

    source: str
    sop_instance_uid: str
    frames: int
    times: NDArray[np.float64] | None
    predictions: dict[int, Prediction]
    segments: tuple[Segment, ...]
    unreadable: dict[int, str] = field(default_factory=dict)


def analyse_clip(
    path: str,
    predictor: Predictor,
    *,
    every_frame: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Clip | ReadFailure:
    """Find the planes of a clip.

    Each frame is decoded and measured once. The network sees a frame every `LOOK_EVERY` seconds; then, between two that
    disagree, the frame in the middle, until the place of each change is known; and at last the sharpest and stillest
    frames of each segment, until no other can be better. All other frames take what lies between their neighbours.
    A class such as `Other` is no plane that a frame could show well: sharpness and stillness alone choose there.

    Args:
        path: of a DICOM file with several frames.
        predictor: the model.
        every_frame: classify all frames instead.
        progress: called with the share that is done, 0 to 1.

    Returns:
        The clip; or why there is none, if its header or none of its frames can be read.
    """
    with UltrasoundInstance(path) as instance:
        frames = len(instance)
        times = frame_times(instance.header.dataset, frames)
        uid = str(instance.metadata(0)["SOPInstanceUID"])
    done = _Progress(progress, frames)
    quality = measure_clip(path, frames, workers=predictor.workers, tick=done.measured)
    readable = np.flatnonzero(np.isfinite(quality.sharpness))
    if not len(readable):
        reason = next(iter(quality.unreadable.values()))
        return ReadFailure(path, f"{path}: none of its {frames} frames can be read: {reason}")
    durations = _durations(times, frames)
    looks = _Looks(path, predictor, quality, done)
    looks.ask((readable if every_frame else _first_looks(readable, durations)).tolist())
    looks.refine(readable)
    if not looks.predictions:
        reason = next(iter(quality.unreadable.values()))
        return ReadFailure(path, f"{path}: none of its {frames} frames can be classified: {reason}")
    segments = [
        _segment(looks, quality, times, durations, stretch)
        for stretch in stretches(steadiest_path(looks.probabilities(frames), durations, LEAST_SECONDS, DOUBT))
        if stretch[0] < len(predictor.class_names)
    ]
    done.finish()
    return Clip(
        source=path,
        sop_instance_uid=uid,
        frames=frames,
        times=times,
        predictions=dict(sorted(looks.predictions.items())),
        segments=tuple(segment for segment in segments if segment is not None),
        unreadable=quality.unreadable,
    )


def _durations(times: NDArray[np.float64] | None, frames: int) -> NDArray[np.float64]:
    """How long each frame is shown; the last as long as the one before it."""
    if times is None:
        return np.full(frames, ASSUMED_STEP)
    steps = np.diff(times)
    return np.append(steps, steps[-1])


def _first_looks(readable: NDArray[np.intp], durations: NDArray[np.float64]) -> NDArray[np.intp]:
    """The frames on the screen every `LOOK_EVERY` seconds, and the last: slow frames are all among them."""
    starts = (np.cumsum(durations) - durations)[readable]
    looks_before = np.ceil((starts - starts[0] - _ROUNDING) / LOOK_EVERY)
    chosen: NDArray[np.intp] = readable[np.append(np.diff(looks_before) > 0, True)]
    return chosen


class _Looks:
    """The frames that the network has seen."""

    def __init__(self, path: str, predictor: Predictor, quality: ClipQuality, done: _Progress) -> None:
        self._path = path
        self._predictor = predictor
        self._quality = quality
        self._done = done
        self.class_names = predictor.class_names
        self.predictions: dict[int, Prediction] = {}

    def ask(self, frames: Sequence[int]) -> None:
        """Classify frames, those that are not yet."""
        fresh = [frame for frame in dict.fromkeys(frames) if frame not in self.predictions]
        fresh = [frame for frame in fresh if frame not in self._quality.unreadable]
        answers = self._predictor.predict(FrameRef(self._path, frame) for frame in fresh)
        for frame, found in zip(fresh, answers, strict=True):
            if isinstance(found, ReadFailure):
                self._quality.unreadable[frame] = found.message
            else:
                self.predictions[frame] = found
            self._done.classified(len(self.predictions))

    def confidence(self, plane: int, frames: Sequence[int]) -> Mapping[int, float]:
        """Probability of a class, frame by frame."""
        self.ask(frames)
        return {
            frame: float(self.predictions[frame].probabilities[plane]) for frame in frames if frame in self.predictions
        }

    def refine(self, readable: NDArray[np.intp]) -> None:
        """Look between frames that disagree, in halves, until each change has its place."""
        place = {int(frame): row for row, frame in enumerate(readable)}
        while True:
            seen = sorted(self.predictions)
            states = [_state(self.predictions[frame]) for frame in seen]
            middles = []
            for row in range(len(seen) - 1):
                left, right = place[seen[row]], place[seen[row + 1]]
                if states[row] != states[row + 1] and right - left > 1:
                    middles.append(int(readable[(left + right) // 2]))
            middles = [frame for frame in middles if frame not in self._quality.unreadable]
            if not middles:
                return
            self.ask(middles)

    def probabilities(self, frames: int) -> NDArray[np.float64]:
        """(T, C) of all frames: straight lines between those that were classified."""
        seen = np.array(sorted(self.predictions))
        known = np.array([_trusted(self.predictions[frame]) for frame in seen])
        columns = [np.interp(np.arange(frames), seen, column) for column in known.T]
        return np.stack(columns, axis=1)


def _trusted(prediction: Prediction) -> NDArray[np.float64]:
    """Probabilities of the classes, less where the frame is unlike what the model knows."""
    return prediction.probabilities * (UNLIKE_TRAINING if prediction.out_of_distribution else 1.0)


def _state(prediction: Prediction) -> int:
    """The class of a frame by itself, or the number of classes where it is none."""
    return int(np.append(_trusted(prediction), DOUBT).argmax())


def _segment(
    looks: _Looks,
    quality: ClipQuality,
    times: NDArray[np.float64] | None,
    durations: NDArray[np.float64],
    stretch: tuple[int, int, int],
) -> Segment | None:
    plane, first, last = stretch
    name = looks.class_names[plane]
    readable = first + np.flatnonzero(np.isfinite(quality.sharpness[first : last + 1]))
    if not len(readable):
        return None
    first, last = int(readable[0]), int(readable[-1])  # nothing is known of what cannot be read
    here = slice(first, last + 1)
    sharpest = max(float(np.nanmax(quality.sharpness[here])), np.finfo(float).tiny)
    merits = quality.sharpness[here] / sharpest * quality.stability[here]

    def confidence_of(frames: Sequence[int]) -> Mapping[int, float]:
        found = looks.confidence(plane, frames)
        return found if is_standard_plane(name) else dict.fromkeys(found, 1.0)

    key = choose_key_frame(range(first, last + 1), merits, confidence_of)
    if key is None:
        return None
    prediction = looks.predictions[key]
    confidence = float(prediction.probabilities[plane])
    seen = [float(found.probabilities[plane]) for frame, found in looks.predictions.items() if first <= frame <= last]
    return Segment(
        plane=name,
        first=first,
        last=last,
        start=None if times is None else float(times[first]),
        end=None if times is None else float(times[last] + durations[last]),
        confidence=float(np.mean(seen)),
        key_frame=prediction,
        merit=Merit(confidence, float(quality.sharpness[key]) / sharpest, float(quality.stability[key])),
        sharpness=float(quality.sharpness[key]),
    )


class _Progress:
    """Measuring counts for a fifth, classifying for the rest, whose length is only guessed."""

    def __init__(self, report: Callable[[float], None] | None, frames: int) -> None:
        self._report = report
        self._frames = frames
        self._measured = 0
        self._share = 0.0

    def measured(self, count: int) -> None:
        """So many more frames were measured."""
        self._measured += count
        self._tell(0.2 * self._measured / self._frames)

    def classified(self, count: int) -> None:
        """So many frames were classified in all."""
        self._tell(0.2 + 0.8 * min(count / self._frames * 3, 0.99))

    def finish(self) -> None:
        """All is done."""
        self._tell(1.0)

    def _tell(self, share: float) -> None:
        if self._report is not None and share > self._share:
            self._share = share
            self._report(share)
