"""What metrics.json and per_class.csv hold: agreement of predicted and true classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from fetal_monai.metrics.prediction_table import Predictions

ENOUGH_IMAGES = 10  # below this a class's F1 says little, so macro F1 is also given without such classes
MACRO_F1_OF_COMMON = f"macro_f1_of_classes_with_{ENOUGH_IMAGES}_images"


def confusion_counts(predictions: Predictions) -> NDArray[np.int64]:
    """Confusion matrix over the whole class list, whether or not a class occurs.

    Args:
        predictions: labelled images; those with an unknown label are left out.

    Returns:
        (C, C) counts: rows are true classes, columns predicted ones, both in the order of the class list.

    Raises:
        InputError: if no label is known.

    Example:
        >>> table = Predictions(["a", "b"], ["1", "2", "3"], [-1] * 3, [0, 0, 1], [[1, 0], [0, 1], [0, 1]])
        >>> confusion_counts(table).tolist()
        [[1, 1], [0, 1]]
    """
    known = predictions.labelled()
    counts = confusion_matrix(known.labels, known.predicted, labels=np.arange(known.num_classes))
    return np.asarray(counts, dtype=np.int64)


def per_class_table(predictions: Predictions) -> pd.DataFrame:
    """Precision, recall, F1 and support of each class.

    Args:
        predictions: labelled images.

    Returns:
        C rows, index `class`, columns `precision, recall, f1, support`. NaN where a value is undefined: recall and F1
        of a class that no image shows, precision of a class that is never predicted.

    Raises:
        InputError: if no label is known.
    """
    known = predictions.labelled()
    precision, recall, f1, support = precision_recall_fscore_support(
        known.labels, known.predicted, labels=np.arange(known.num_classes), zero_division=np.nan
    )
    return pd.DataFrame(
        # scikit-learn calls F1 of an absent class 0 as soon as somebody predicts it; there is nothing to find, so NaN
        {"precision": precision, "recall": recall, "f1": np.where(support > 0, f1, np.nan), "support": support},
        index=pd.Index(known.class_names, name="class"),
    )


def classification_metrics(predictions: Predictions) -> dict[str, Any]:
    """Everything that metrics.json holds about predicted and true classes.

    Args:
        predictions: images with probabilities; those with an unknown label are left out and counted.

    Returns:
        JSON-ready values. At the top level `macro_f1` (unweighted mean of F1 over the classes that occur in the labels:
        a class that no image shows has no F1), `micro_f1` and `accuracy`. None stands for an undefined value and
        `undefined` says why.

    Raises:
        InputError: if no label is known.

    Example:
        >>> table = Predictions(["a", "b", "c"], ["1", "2"], [-1, -1], [0, 1], [[1, 0, 0], [1, 0, 0]])
        >>> metrics = classification_metrics(table)
        >>> round(metrics["macro_f1"], 4), metrics["accuracy"], metrics["classes_absent"]
        (0.3333, 0.5, ['c'])
    """
    known = predictions.labelled()
    table = per_class_table(known)
    counts = confusion_counts(known)
    accuracy = float(np.trace(counts) / counts.sum())
    present = table[table.support > 0]
    enough = table[table.support >= ENOUGH_IMAGES]
    return {
        "macro_f1": float(present.f1.mean()),
        # With one label and one prediction per image, micro-averaged precision, recall and F1 all equal accuracy.
        "micro_f1": accuracy,
        "accuracy": accuracy,
        "macro_f1_is_over": f"{len(present)} of {len(table)} classes: those present in the labels",
        MACRO_F1_OF_COMMON: float(enough.f1.mean()) if len(enough) else None,
        f"classes_with_{ENOUGH_IMAGES}_images": list(enough.index),
        "classes_absent": list(table.index[table.support == 0]),
        "undefined": _undefined(table),
        "images": len(known),
        "images_without_label": len(predictions) - len(known),
        "patients": None if known.patient_ids is None else len(np.unique(known.patient_ids)),
        "class_names": list(known.class_names),
        "per_class": {
            str(name): {key: _json_number(value) for key, value in row.items()} | {"support": int(row["support"])}
            for name, row in table.iterrows()
        },
        "confusion_matrix": counts.tolist(),
    }


def _undefined(table: pd.DataFrame) -> list[str]:
    reasons = [f"recall and F1 of {name}: no image has this label" for name in table.index[table.support == 0]]
    reasons += [f"precision of {name}: it is never predicted" for name in table.index[table.precision.isna()]]
    if (table.support < ENOUGH_IMAGES).all():
        reasons.append(f"macro F1 of classes with {ENOUGH_IMAGES} images: no class has as many")
    return reasons


def _json_number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
