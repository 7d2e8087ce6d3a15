"""The shortcut audit: the same images with their screens changed, and what that does to a model's answers.

A network that learns which scanner, preset or caliper goes with which class is right for the wrong reason, and wrong in
the next hospital (DeGrave et al., "AI for radiographic COVID-19 detection selects shortcuts over signal", Nature
Machine Intelligence 3, 2021). Each question here changes one thing and asks whether the answers follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from fetal_monai.audit import screen
from fetal_monai.audit.donors import choose_donors
from fetal_monai.audit.screen import ANATOMY_HIDDEN, AS_IT_IS, CALIPERS, EXCHANGED, SURROUNDINGS_HIDDEN, VARIANTS
from fetal_monai.audit.verdict import Verdict, judge, overall
from fetal_monai.errors import InputError
from fetal_monai.inference.inputs import Frame, decode_frame
from fetal_monai.inference.prediction import Prediction, ReadFailure
from fetal_monai.inference.predictor import Predictor
from fetal_monai.metrics.bootstrap import Interval, bootstrap_intervals
from fetal_monai.metrics.compare import compare
from fetal_monai.metrics.prediction_table import Predictions

TOLERANCE = 0.05
DECISIVE = (ANATOMY_HIDDEN, EXCHANGED, CALIPERS)
"""What the verdict rests on: screens that scanners could show, and such as tell nothing of the class."""


@dataclass(frozen=True)
class Answer:
    """What one change of the screen did.

    Args:
        change: one of `screen.VARIANTS`.
        question: in words.
        accuracy: with the change, with its interval by patient.
        effect: what the shortcut would explain, 0 if nothing: for hidden anatomy the balanced accuracy above that of
            constant guessing, for all else the accuracy that the change costs.
        verdict: on the effect.
    """

    change: str
    question: str
    accuracy: Interval
    effect: Interval
    verdict: Verdict


@dataclass(frozen=True)
class Audit:
    """The answers, and what they say together.

    Args:
        images: how many were looked at.
        patients: of how many patients.
        declared: on how many images the file itself declares where the anatomy is; elsewhere all below the banner is
            taken for it.
        tolerance: effects up to it do not matter.
        accuracy: of the images as they are.
        answers: one for each change.
        follows: share of images which, given the surroundings of another class, are called by that class, beyond those
            that already were.
        devices: accuracy of each device's images, and how many they are; empty where the table names none.
        failures: images that cannot be read.
    """

    images: int
    patients: int
    declared: int
    tolerance: float
    accuracy: Interval
    answers: tuple[Answer, ...]
    follows: float
    devices: dict[str, tuple[int, Interval]]
    failures: tuple[ReadFailure, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Over the answers of `DECISIVE`: a model that never saw black surroundings may stumble over them, honestly."""
        return overall([answer.verdict for answer in self.answers if answer.change in DECISIVE])

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        return {"verdict": self.verdict.value, **asdict(self)}


QUESTIONS = {
    ANATOMY_HIDDEN: "Can it tell the class without any anatomy?",
    SURROUNDINGS_HIDDEN: "Does it need what stands around the anatomy?",
    EXCHANGED: "Does it follow the screen of another class?",
    CALIPERS: "Do calipers mislead it?",
}


def audit_model(
    items: Sequence[dict[str, Any]],
    predictor: Predictor,
    *,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Audit:
    """Ask a model about images whose screens are changed.

    Args:
        items: of `load_datalists`, which the model has not learnt from.
        predictor: the model.
        tolerance: effects up to it do not matter, in accuracy.
        seed: of the donors of surroundings and of the calipers.
        progress: called with the number of images that are done.

    Returns:
        The audit. Images are decoded one at a time, so that memory does not grow with their number.

    Raises:
        InputError: if no image can be read, or all that can are of one class.
    """
    readable, unreadable = _readable(items)
    if items and not readable:
        raise InputError("the data", [str(unreadable[0]), "no image can be read, so there is nothing to audit"])
    if len({item["label"] for item in readable}) < 2:
        raise InputError("the data", ["all images are of one class; an audit compares classes: give images of two"])
    screens = _Screens(readable, seed)
    found: dict[str, list[Any]] = {name: [] for name in VARIANTS}
    for count, prediction in enumerate(predictor.predict(screens)):
        found[VARIANTS[count % len(VARIANTS)]].append(prediction)
        if progress is not None and count % len(VARIANTS) == 0:
            progress(count // len(VARIANTS))
    rows = [
        row for row in range(len(screens.items)) if all(isinstance(found[name][row], Prediction) for name in VARIANTS)
    ]
    failures = [*unreadable, *screens.failures, *(one for one in found[AS_IT_IS] if isinstance(one, ReadFailure))]
    if not rows:
        raise InputError("the data", [str(failures[0]), "no image can be read, so there is nothing to audit"])
    kept = [screens.items[row] for row in rows]
    tables = {name: _table(kept, [found[name][row] for row in rows], predictor.class_names) for name in VARIANTS}
    donors = np.array([readable[screens.donors[screens.places[row]]]["label"] for row in rows])
    plain, exchanged = tables[AS_IT_IS].predicted, tables[EXCHANGED].predicted
    scanners = [str(item.get("device", "")) for item in kept]
    return Audit(
        images=len(rows),
        patients=len(set(tables[AS_IT_IS].patient_ids.tolist())),  # type: ignore[union-attr]
        declared=sum(screens.declared[row] for row in rows),
        tolerance=tolerance,
        accuracy=bootstrap_intervals(tables[AS_IT_IS]).overall["accuracy"],
        answers=tuple(_answer(name, tables, tolerance) for name in QUESTIONS),
        follows=float(np.mean(exchanged == donors) - np.mean(plain == donors)),
        devices=_by_device(tables[AS_IT_IS], scanners) if any(scanners) else {},
        failures=tuple(failures),
    )


def _readable(items: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[ReadFailure]]:
    """Which images can be read, and why others cannot: none of those may be drawn as a donor of surroundings."""
    readable, unreadable = list[dict[str, Any]](), list[ReadFailure]()
    for item in items:
        frame = decode_frame(item["image"])
        if isinstance(frame, ReadFailure):
            unreadable.append(frame)
        else:
            readable.append(item)
    return readable, unreadable


class _Screens:
    """Each image as it is and with each change; remembers what could not be read after all."""

    def __init__(self, items: Sequence[dict[str, Any]], seed: int) -> None:
        self._all = items
        self._seed = seed
        self.donors = choose_donors(items, np.random.default_rng(seed))
        self.items: list[dict[str, Any]] = []
        self.places: list[int] = []
        self.declared: list[bool] = []
        self.failures: list[ReadFailure] = []

    def __iter__(self) -> Iterator[Frame]:
        for place, item in enumerate(self._all):
            frame, donor = decode_frame(item["image"]), decode_frame(self._all[self.donors[place]]["image"])
            if isinstance(frame, ReadFailure) or isinstance(donor, ReadFailure):
                self.failures += [one for one in (frame, donor) if isinstance(one, ReadFailure)]
                continue
            self.items.append(item)
            self.places.append(place)
            self.declared.append(bool(screen.declared_anatomy(frame)))
            yield from screen.variants(frame, donor, self._seed, place)


def _table(items: Sequence[dict[str, Any]], found: Sequence[Prediction], class_names: Sequence[str]) -> Predictions:
    names = [str(item["SOPInstanceUID"]) for item in items]
    patients = [str(item["patient_id"]) or name for item, name in zip(items, names, strict=True)]
    return Predictions(
        class_names,
        names,
        [item["frame"] for item in items],
        [item["label"] for item in items],
        [one.probabilities for one in found],
        patient_ids=patients,
        source="the audit",
    )


def _answer(change: str, tables: dict[str, Predictions], tolerance: float) -> Answer:
    changed = bootstrap_intervals(tables[change]).overall
    if change == ANATOMY_HIDDEN:
        guessing = 1 / len(np.unique(tables[change].labels))
        effect = _moved(changed["balanced_accuracy"], -guessing)
    else:
        lost = compare(tables[AS_IT_IS], tables[change]).difference["accuracy"]
        effect = _turned(lost)
    patients = len(np.unique(tables[change].patient_ids))  # type: ignore[arg-type]
    return Answer(change, QUESTIONS[change], changed["accuracy"], effect, judge(effect, tolerance, patients))


def _moved(interval: Interval, by: float) -> Interval:
    value, low, high = (None if end is None else end + by for end in (interval.value, interval.low, interval.high))
    return replace(interval, value=value, low=low, high=high)


def _turned(interval: Interval) -> Interval:
    value, high, low = (None if end is None else -end for end in (interval.value, interval.low, interval.high))
    return replace(interval, value=value, low=low, high=high)


def _by_device(table: Predictions, devices: Sequence[str]) -> dict[str, tuple[int, Interval]]:
    named = np.array([device or "unknown" for device in devices])
    return {
        str(device): (
            int((named == device).sum()),
            bootstrap_intervals(table.subset(named == device)).overall["accuracy"],
        )
        for device in np.unique(named)
    }
