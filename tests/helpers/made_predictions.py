"""Predictions that no model made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fetal_monai.inference import ModelIdentity, Prediction

IDENTITY = ModelIdentity("DualBranchClassifier", "0.1.0+abcdef012345", "ab" * 32, "cd" * 32, "0.1.0")


def predicted(entry, class_names, frame=-1, top=0, **changes):
    """What a model might say of an image."""
    probabilities = np.full(len(class_names), 0.25 / (len(class_names) - 1))
    probabilities[top] = 0.75
    label = changes.pop("label", class_names[top])
    found = Prediction(entry.path, entry.sop_instance_uid, frame, probabilities, tuple(class_names), label, IDENTITY)
    return replace(found, **changes)
