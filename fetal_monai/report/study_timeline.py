"""The probabilities of a clip over its length: lines, bands and marks for the page, and what its slider tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_monai.inference.prediction import Prediction
from fetal_monai.study.clip import Clip

MOST_LINES = 10
COLOURS = 8
DASHES = 4
NAMED = 3
"""Classes that are named with each frame."""
_POINTS = 1000
_TICKS = 6


def timeline(clip: Clip) -> dict[str, Any]:
    """Lay a clip out for its chart, which is 100 wide and 100 high whatever it shows.

    Args:
        clip: with one or more classified frames.

    Returns:
        `lines`, `bands` of the segments, `marks` of the key frames, stretches that are `unlike` the training images,
        `ticks` and `unit` of the axis; `start`, the frame that is shown first; and `steps`, what the script knows of
        each classified frame, as short as it can be said.
    """
    edges = _edges(clip)
    frames = np.array(list(clip.predictions))
    places = _middles(edges)[frames]
    probabilities = np.array([found.probabilities for found in clip.predictions.values()])
    names = next(iter(clip.predictions.values())).class_names
    planes = planes_that_matter(clip, names, probabilities)
    style = {plane: {"colour": row % COLOURS, "dash": row % DASHES} for row, plane in enumerate(planes)}
    best = max(clip.segments, key=lambda segment: segment.merit.score, default=None)
    return {
        "lines": [
            {"name": plane, "points": _points(places, probabilities[:, names.index(plane)]), **style[plane]}
            for plane in planes
        ],
        "bands": [
            {
                "name": segment.plane,
                "left": round(float(edges[segment.first]), 3),
                "width": round(float(edges[segment.last + 1] - edges[segment.first]), 3),
                **style.get(segment.plane, {"colour": COLOURS - 1, "dash": 0}),
            }
            for segment in clip.segments
        ],
        "marks": [round(float(_middles(edges)[segment.key_frame.frame]), 3) for segment in clip.segments],
        "unlike": _unlike(clip, edges),
        "ticks": _ticks(clip),
        "unit": "frame" if clip.times is None else "s",
        "start": int(frames[0]) if best is None else best.key_frame.frame,
        "steps": {
            "names": list(names),
            "frames": frames.tolist(),
            "places": np.round(places, 3).tolist(),
            "seconds": None if clip.times is None else np.round(clip.times[frames], 2).tolist(),
            "top": np.argsort(-probabilities, axis=1, kind="stable")[:, :NAMED].tolist(),
            "percent": np.rint(-np.sort(-probabilities, axis=1)[:, :NAMED] * 100).astype(int).tolist(),
            "doubt": "".join(map(_doubt, clip.predictions.values())),
        },
    }


def planes_that_matter(clip: Clip, names: Sequence[str], probabilities: NDArray[np.float64]) -> list[str]:
    """Choose the classes that have a line.

    Args:
        clip: as it was analysed.
        names: the C classes.
        probabilities: (T, C) of the classified frames.

    Returns:
        Those of segments, then others that are more probable than not somewhere; failing both, the three most probable.
        Ten at most: of each kind those that were more probable in the mean.
    """
    order = [names[column] for column in np.argsort(-probabilities.mean(axis=0), kind="stable").tolist()]
    held = {segment.plane for segment in clip.segments}
    likely = {name for name, peak in zip(names, probabilities.max(axis=0), strict=True) if peak > 0.5}
    planes = [plane for plane in order if plane in held] + [plane for plane in order if plane in likely - held]
    return planes[:MOST_LINES] or order[:3]


def _edges(clip: Clip) -> NDArray[np.float64]:
    """(T + 1,) where each frame begins, and the last ends, in percent of the clip."""
    edges = np.arange(clip.frames + 1, dtype=np.float64)
    if clip.times is not None and clip.times[-1] > 0:
        edges = np.append(clip.times, 2 * clip.times[-1] - clip.times[-2])
    return np.asarray(edges / edges[-1] * 100)


def _middles(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((edges[1:] + edges[:-1]) / 2)


def _points(places: NDArray[np.float64], values: NDArray[np.float64]) -> str:
    """Points of a polyline; of very many the lowest and the highest of each stretch, so that no peak is lost."""
    shown = np.arange(len(values))
    if len(values) > _POINTS:
        parts = np.array_split(shown, _POINTS // 2)
        shown = np.array(sorted({part[pick(values[part])] for part in parts for pick in (np.argmin, np.argmax)}))
    return " ".join(f"{places[row]:.2f},{100 - 100 * values[row]:.1f}" for row in shown)


def _unlike(clip: Clip, edges: NDArray[np.float64]) -> list[dict[str, float]]:
    """Stretches between classified frames that are all out of distribution."""
    stretches: list[list[int]] = []
    last = None
    for frame, found in clip.predictions.items():
        if found.out_of_distribution:
            if last is not None and clip.predictions[last].out_of_distribution:
                stretches[-1][1] = frame
            else:
                stretches.append([frame, frame])
        last = frame
    return [
        {"left": round(float(edges[first]), 2), "width": round(float(edges[end + 1] - edges[first]), 2)}
        for first, end in stretches
    ]


def _ticks(clip: Clip) -> list[dict[str, Any]]:
    """Round numbers along the axis."""
    edges = _edges(clip)
    end = float(clip.frames) if clip.times is None else float(2 * clip.times[-1] - clip.times[-2])
    if not end > 0:
        return []
    step = 10.0 ** np.floor(np.log10(end / _TICKS))
    step *= next((factor for factor in (1, 2, 5) if end / (step * factor) <= _TICKS), 10)
    if clip.times is None:
        step = max(step, 1.0)
        numbers = np.arange(0, clip.frames, step)
        return [{"left": round(float(_middles(edges)[int(number)]), 2), "text": f"{number:g}"} for number in numbers]
    return [{"left": round(float(number / end * 100), 2), "text": f"{number:g}"} for number in np.arange(0, end, step)]


def _doubt(found: Prediction) -> str:
    """`1` where the model abstains, `2` where the frame is unlike the training images, `3` for both."""
    return str((found.label is None) + 2 * bool(found.out_of_distribution))
