"""Predictions that no model made, and clips of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fetal_monai.inference import ModelIdentity, Prediction
from fetal_monai.study.clip import Clip, Segment
from fetal_monai.study.key_frames import Merit

IDENTITY = ModelIdentity("DualBranchClassifier", "0.1.0+abcdef012345", "ab" * 32, "cd" * 32, "0.1.0")
PLANES = ("Femur", "Spine", "Kidneys", "Other")


def predicted(entry, class_names, frame=-1, top=0, **changes):
    """What a model might say of an image."""
    probabilities = np.full(len(class_names), 0.25 / (len(class_names) - 1))
    probabilities[top] = 0.75
    label = changes.pop("label", class_names[top])
    found = Prediction(entry.path, entry.sop_instance_uid, frame, probabilities, tuple(class_names), label, IDENTITY)
    return replace(found, **changes)


def made_clip(entry, *, frames=None, step=0.04):
    """A clip that shows the first plane in its first half and the second in its last third; between, nothing known."""
    frames = frames or entry.frames
    half, third = frames // 2, 2 * frames // 3
    predictions = {}
    for frame in range(frames):
        if frame < half:
            predictions[frame] = predicted(entry, PLANES, frame, top=0)
        elif frame < third:
            predictions[frame] = predicted(entry, PLANES, frame, top=3, label=None, out_of_distribution=True)
        else:
            predictions[frame] = predicted(entry, PLANES, frame, top=1)
    times = None if step is None else np.arange(frames) * step

    def segment(plane, first, last, key, merit):
        start, end = (None, None) if step is None else (first * step, (last + 1) * step)
        return Segment(plane, first, last, start, end, 0.75, predictions[key], merit, 40.0)

    segments = (
        segment("Femur", 0, half - 1, 1, Merit(0.75, 0.9, 0.8)),
        segment("Spine", third, frames - 1, frames - 1, Merit(0.75, 0.6, 0.8)),
    )
    return Clip(entry.path, entry.sop_instance_uid, frames, times, predictions, segments)
