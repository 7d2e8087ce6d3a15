"""The table that every evaluation starts from: one row of class probabilities per image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fetal_monai.errors import InputError
from fetal_monai.metrics.prediction_checks import UNKNOWN_LABEL, shape_problems, value_problems
from fetal_monai.utils.files import atomic_path

ID_COLUMNS = ("SOPInstanceUID", "frame", "class", "prediction", "probability")
PATIENT_COLUMN = "patient_id"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Class probabilities of N images over C classes, checked when made.

    Args:
        class_names: the C class names, in the order of the network's outputs.
        sop_instance_uids: (N,) SOP Instance UID, or another name, of each image.
        frames: (N,) zero-based frame, -1 for stills.
        labels: (N,) class index of the truth, -1 where it is unknown.
        probabilities: (N, C) float64 in [0, 1], each row summing to one within 1e-4.
        patient_ids: (N,) whose image it is; None where nobody knows (then nothing can be resampled by patient).
        source: what error messages call this table, for instance the file that it came from.

    Raises:
        InputError: wrong shapes, no rows, NaN, values outside [0, 1], rows that don't sum to one, labels outside the
            class list, or the same image twice; all problems at once, each with its row.

    Example:
        >>> table = Predictions(["Femur", "Other"], ["1.2", "1.3"], [-1, -1], [0, 1], [[0.9, 0.1], [0.6, 0.4]])
        >>> len(table), table.predicted.tolist(), table.confidence.tolist()
        (2, [0, 0], [0.9, 0.6])
    """

    class_names: tuple[str, ...]
    sop_instance_uids: NDArray[np.str_]
    frames: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    patient_ids: NDArray[np.str_] | None
    source: str

    def __init__(
        self,
        class_names: Sequence[str],
        sop_instance_uids: ArrayLike,
        frames: ArrayLike,
        labels: ArrayLike,
        probabilities: ArrayLike,
        *,
        patient_ids: ArrayLike | None = None,
        source: str | os.PathLike[str] = "predictions",
    ) -> None:
        fields = {
            "class_names": tuple(map(str, class_names)),
            "sop_instance_uids": np.asarray(sop_instance_uids, dtype=np.str_),
            "frames": np.asarray(frames, dtype=np.int64),
            "labels": np.asarray(labels, dtype=np.int64),
            "probabilities": np.array(probabilities, dtype=np.float64),
            "patient_ids": None if patient_ids is None else np.asarray(patient_ids, dtype=np.str_),
            "source": os.fspath(source),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        columns = {"frames": self.frames, "labels": self.labels, "patient_ids": self.patient_ids}
        problems = shape_problems(
            self.class_names, self.sop_instance_uids, self.probabilities, columns, (*ID_COLUMNS, PATIENT_COLUMN)
        ) or value_problems(self.sop_instance_uids, self.frames, self.labels, self.probabilities)
        if problems:
            raise InputError(self.source, problems)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """Length of the class list."""
        return len(self.class_names)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) index of the most probable class."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(N,) probability of the predicted class, in [0, 1]."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float64)

    @property
    def keys(self) -> list[tuple[str, int]]:
        """(UID, frame) of each row: the identity of an image."""
        return list(zip(self.sop_instance_uids.tolist(), self.frames.tolist(), strict=True))

    def subset(self, rows: ArrayLike) -> Predictions:
        """Some of the rows, chosen by a boolean mask or by indices.

        Args:
            rows: (N,) booleans or any number of row indices.

        Returns:
            A table of those rows.

        Raises:
            InputError: if no row is left.
        """
        chosen = np.asarray(rows)
        return Predictions(
            self.class_names,
            self.sop_instance_uids[chosen],
            self.frames[chosen],
            self.labels[chosen],
            self.probabilities[chosen],
            patient_ids=None if self.patient_ids is None else self.patient_ids[chosen],
            source=self.source,
        )

    def labelled(self) -> Predictions:
        """The rows whose truth is known.

        Returns:
            A table without unknown labels.

        Raises:
            InputError: if no label is known, because then nothing can be measured.
        """
        if not (self.labels != UNKNOWN_LABEL).any():
            raise InputError(self.source, ["no image has a known label; evaluate on annotated images"])
        return self.subset(self.labels != UNKNOWN_LABEL)

    def with_probabilities(self, probabilities: ArrayLike) -> Predictions:
        """The same images with other probabilities, for instance calibrated ones.

        Args:
            probabilities: (N, C) in [0, 1], rows summing to one.

        Returns:
            A new table.
        """
        return Predictions(
            self.class_names,
            self.sop_instance_uids,
            self.frames,
            self.labels,
            probabilities,
            patient_ids=self.patient_ids,
            source=self.source,
        )

    def to_frame(self) -> pd.DataFrame:
        """The table as it is written: `SOPInstanceUID, frame, class, prediction, probability`, one column per class.

        Returns:
            N rows; `class` is empty where the label is unknown; `patient_id` comes last where patients are known.
        """
        names = np.array([*self.class_names, ""], dtype=object)  # index -1, the unknown label, is the empty name
        columns: dict[str, object] = {
            "SOPInstanceUID": self.sop_instance_uids,
            "frame": self.frames,
            "class": names[self.labels],
            "prediction": names[self.predicted],
            "probability": self.confidence,
        }
        columns |= {name: self.probabilities[:, index] for index, name in enumerate(self.class_names)}
        if self.patient_ids is not None:
            columns[PATIENT_COLUMN] = self.patient_ids
        return pd.DataFrame(columns)

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write predictions.csv, whole or not at all; probabilities with all their digits.

        Args:
            path: the file to be written.
        """
        with atomic_path(path) as temporary:
            self.to_frame().to_csv(temporary, index=False)

    @classmethod
    def read_csv(cls, path: str | os.PathLike[str], class_names: Sequence[str] | None = None) -> Predictions:
        """Read what `write_csv` wrote.

        Args:
            path: a predictions.csv.
            class_names: the class list expected; None takes the columns after `probability`, as they stand.

        Returns:
            The checked table.

        Raises:
            InputError: the file is missing, empty, not such a table, has other classes, or holds impossible values.
        """
        try:
            frame = pd.read_csv(
                path,
                dtype=dict.fromkeys(["SOPInstanceUID", "class", "prediction", PATIENT_COLUMN], str),
                na_filter=False,
            )
        except FileNotFoundError:
            raise InputError(path, ["there is no such file; give the folder of an evaluation"]) from None
        except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            raise InputError(path, [f"cannot be read as a table ({error}); give a predictions.csv"]) from error
        missing = [column for column in ID_COLUMNS if column not in frame.columns]
        if missing:
            raise InputError(path, [f"column {name} is missing; give a predictions.csv" for name in missing])
        found = [name for name in frame.columns if name not in (*ID_COLUMNS, PATIENT_COLUMN)]
        names = found if class_names is None else list(class_names)
        if set(names) != set(found):
            raise InputError(path, [f"its classes are {found}, not {names}; evaluate with the same class list"])
        index = {"": UNKNOWN_LABEL} | {name: position for position, name in enumerate(names)}
        unknown = frame.index[~frame["class"].isin(list(index))]
        problems = [f"row {row + 2}: class {frame['class'][row]!r} is not in the class list" for row in unknown]
        numeric = frame[["frame", *names]].apply(pd.to_numeric, errors="coerce")
        problems += [
            f"row {row + 2}: a frame or a probability is not a number"
            for row in frame.index[numeric.isna().any(axis=1)]
        ]
        if problems:
            raise InputError(path, problems)
        table = cls(
            names,
            frame["SOPInstanceUID"].to_numpy(dtype=np.str_),
            numeric["frame"].to_numpy(),
            frame["class"].map(index).to_numpy(dtype=np.int64),
            numeric[names].to_numpy(dtype=np.float64),
            patient_ids=frame[PATIENT_COLUMN].to_numpy(dtype=np.str_) if PATIENT_COLUMN in frame else None,
            source=path,
        )
        _check_prediction_column(table, frame["prediction"].map(index))
        return table


def _check_prediction_column(table: Predictions, predicted: pd.Series[float]) -> None:
    stated = predicted.fillna(UNKNOWN_LABEL).to_numpy(dtype=np.int64)
    picked = np.where(stated >= 0, table.probabilities[np.arange(len(table)), stated], -np.inf)
    wrong = np.flatnonzero(picked < table.confidence - 1e-8)  # rounding may have made a tie
    if wrong.size:
        raise InputError(
            table.source,
            [f"row {row + 2}: the prediction is not the most probable class; don't edit it by hand" for row in wrong],
        )
