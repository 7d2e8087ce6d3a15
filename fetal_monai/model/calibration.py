"""Scaling of logits so that probabilities mean what they say, fitted on the validation split.

Temperature scaling (one number) and vector scaling (a factor and an offset per class) after Guo et al., "On Calibration
of Modern Neural Networks", ICML 2017. Both act on log-probabilities, which logits are but for a constant per image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.model_selection import GroupKFold

from fetal_monai.errors import InputError
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.utils.files import write_json

Method = Literal["none", "temperature", "vector"]
METHODS: tuple[Method, ...] = ("none", "temperature", "vector")
TEMPERATURE_RANGE = (0.02, 50.0)  # LDAM trains logits that are 30 times too flat; beyond this the data say nothing
TINY = 1e-300  # keeps the logarithm of a probability of zero finite
PENALTY = 0.01  # pulls vector scaling towards temperature scaling where a class has few images


@dataclass(frozen=True)
class Calibration:
    """Factors and offsets that turn log-probabilities into calibrated ones.

    Args:
        method: how it was fitted.
        class_names: the C classes, in the order of the network's outputs.
        scale: C positive factors; all equal to 1 / temperature for temperature scaling.
        bias: C offsets; zero for temperature scaling.
        images: how many validation images it was fitted on.
        note: what a reader should know about the fit, empty if nothing.

    Example:
        >>> halved = Calibration("temperature", ("a", "b"), (0.5, 0.5), (0.0, 0.0))
        >>> halved.temperature, halved.probabilities(torch.tensor([[2.0, 0.0]])).softmax(1).shape
        (2.0, torch.Size([1, 2]))
    """

    method: Method
    class_names: tuple[str, ...]
    scale: tuple[float, ...]
    bias: tuple[float, ...]
    images: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        numbers = np.array([*self.scale, *self.bias], dtype=np.float64)
        size = len(self.class_names)
        if self.method not in METHODS or len(self.scale) != size or len(self.bias) != size:
            raise InputError("calibration", [f"needs one of the methods {METHODS} and {size} factors and offsets"])
        if not np.isfinite(numbers).all() or min(self.scale) <= 0:
            raise InputError("calibration", ["factors must be positive and finite, offsets finite; fit it again"])

    @property
    def temperature(self) -> float | None:
        """The temperature; None for vector scaling, which has one per class."""
        return None if self.method == "vector" else 1 / self.scale[0]

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrated probabilities of logits.

        Args:
            logits: (..., C), floating point.

        Returns:
            The same shape, float32 or wider, summing to one over the last axis.
        """
        wide = logits if logits.dtype == torch.float64 else logits.float()
        scaled = wide.log_softmax(dim=-1) * wide.new_tensor(self.scale) + wide.new_tensor(self.bias)
        return scaled.softmax(dim=-1)

    def apply(self, predictions: Predictions) -> Predictions:
        """Calibrated probabilities of a table of uncalibrated ones.

        Args:
            predictions: with this calibration's classes.

        Returns:
            The same images with calibrated probabilities.

        Raises:
            InputError: if the classes differ.
        """
        if predictions.class_names != self.class_names:
            raise InputError(
                predictions.source, [f"calibrated for {self.class_names}, not {predictions.class_names}; fit it again"]
            )
        scores = _log_probabilities(predictions) * np.array(self.scale) + np.array(self.bias)
        return predictions.with_probabilities(softmax(scores, axis=1))

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write calibration.json, whole or not at all.

        Args:
            path: the file, beside the checkpoint that it belongs to.
        """
        write_json(asdict(self), path)

    @classmethod
    def read_json(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read what `write_json` wrote.

        Args:
            path: a calibration.json.

        Returns:
            The calibration.

        Raises:
            InputError: if the file is missing or is no such file.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            lists = {name: tuple(content[name]) for name in ("class_names", "scale", "bias")}
            return cls(**(content | lists))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            problem = f"is no calibration ({type(error).__name__}: {error}); fit it again on the validation split"
            raise InputError(path, [problem]) from error


def fit_calibration(predictions: Predictions, method: Method | Literal["auto"] = "auto") -> Calibration:
    """Fit a scaling on the validation split, by least negative log-likelihood.

    Args:
        predictions: uncalibrated probabilities of labelled validation images.
        method: "none", "temperature", "vector", or "auto", which takes the one with the least cross-validated negative
            log-likelihood (five folds; a patient's images stay in one fold). It does not take "vector" where a class
            has no image: such a class would be made ever less probable.

    Returns:
        The calibration; its `note` says if the optimum was outside the range or classes were missing.

    Raises:
        InputError: if no label is known.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> logits = rng.normal(size=(4000, 3)) * 2
        >>> labels = np.array([rng.choice(3, p=p) for p in softmax(logits, axis=1)])
        >>> sharp = Predictions("abc", np.arange(4000).astype(str), [-1] * 4000, labels, softmax(logits * 3, axis=1))
        >>> 2.7 < fit_calibration(sharp, "temperature").temperature < 3.3
        True
    """
    known = predictions.labelled()
    chosen: Method = _best_method(known) if method == "auto" else method
    scores, labels = _log_probabilities(known), known.labels
    scale, bias = _FITS[chosen](scores, labels)
    notes = []
    if chosen == "temperature" and not TEMPERATURE_RANGE[0] * 1.01 < 1 / scale[0] < TEMPERATURE_RANGE[1] / 1.01:
        notes.append("the temperature is at the end of its range: the validation labels do not determine it")
    if bool((known.predicted == labels).all()):
        notes.append("every validation image is classified correctly: confidence cannot be judged from such a split")
    absent = [name for index, name in enumerate(known.class_names) if not (labels == index).any()]
    if absent:
        notes.append(f"no validation image of {', '.join(absent)}")
    return Calibration(
        chosen, known.class_names, tuple(scale.tolist()), tuple(bias.tolist()), len(known), "; ".join(notes)
    )


def _log_probabilities(predictions: Predictions) -> NDArray[np.float64]:
    return np.log(np.clip(predictions.probabilities, TINY, 1))


def _mean_loss(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(-log_softmax(scores, axis=1)[np.arange(len(labels)), labels].mean())


Fit = tuple[NDArray[np.float64], NDArray[np.float64]]


def _identity(scores: NDArray[np.float64], _: NDArray[np.int64]) -> Fit:
    return np.ones(scores.shape[1]), np.zeros(scores.shape[1])


def _temperature(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> Fit:
    bounds = tuple(np.log(TEMPERATURE_RANGE))
    best = minimize_scalar(lambda log_t: _mean_loss(scores / np.exp(log_t), labels), bounds=bounds, method="bounded")
    return np.full(scores.shape[1], np.exp(-best.x)), np.zeros(scores.shape[1])


def _vector(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> Fit:
    size = scores.shape[1]
    base = _temperature(scores, labels)[0]
    scaled = scores * base
    truth = np.eye(size)[labels]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_factor, bias = parameters[:size], parameters[size:]
        moved = scaled * np.exp(log_factor) + bias
        gap = softmax(moved, axis=1) - truth
        gradient = np.concatenate([(gap * scaled * np.exp(log_factor)).mean(axis=0), gap.mean(axis=0)])
        return _mean_loss(moved, labels) + PENALTY * (parameters**2).sum(), gradient + 2 * PENALTY * parameters

    best = minimize(loss, np.zeros(2 * size), jac=True, method="L-BFGS-B", bounds=[(-4, 4)] * (2 * size))
    return base * np.exp(best.x[:size]), best.x[size:]


_FITS = {"none": _identity, "temperature": _temperature, "vector": _vector}


def _best_method(known: Predictions) -> Method:
    present = len(np.unique(known.labels)) == len(known.class_names)
    methods = METHODS if present else tuple(method for method in METHODS if method != "vector")
    groups: Sequence[str] | NDArray[np.str_] = (
        known.sop_instance_uids if known.patient_ids is None else known.patient_ids
    )
    folds = min(5, len(set(groups)))
    if folds < 2:
        return "temperature"
    scores, labels = _log_probabilities(known), known.labels
    losses = dict.fromkeys(methods, 0.0)
    for rows, held_out in GroupKFold(folds).split(scores, labels, groups):
        for method in methods:
            scale, bias = _FITS[method](scores[rows], labels[rows])
            losses[method] += _mean_loss(scores[held_out] * scale + bias, labels[held_out]) * len(held_out)
    return min(methods, key=lambda method: losses[method])
