"""Which patient shows which plane in which split: imbalanced classes, patient-wise splits, all from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fetal_monai.data.phantom.anatomy import PLANES
from fetal_monai.errors import InputError

SPLITS = ("train", "val", "test")
MIN_PATIENTS, MIN_SIZE, MAX_SIZE = 6, (240, 320), (2160, 2880)

# Rank by frequency, most frequent first: shares fall geometrically from the first to the last.
FREQUENCY = (
    "Other", "Head (PPP, Tectum)", "Four-chamber heart section", "Stomach", "Femur", "Spine", "Head (Cerebellum)",
    "Head (Sagittal)", "Kidneys", "Placenta (Umbilical cord)", "Slice through three vessels", "Bladder (CDC)",
    "Umbilical cord (Anterior abdominal wall)", "Nasal triangle", "Cervix", "Shoulder bone",
)  # fmt: skip


@dataclass(frozen=True)
class PhantomSpec:
    """What to generate.

    Args:
        patients: number of synthetic patients, at least 6; about 22 % go to test and 15 % to validation.
        images_per_patient: stills and clips of each patient.
        seed: of everything.
        size: (rows, cols) of a frame.
        imbalance: how many times as frequent the first class is as the last.
        clip_share: share of the files that are clips.
        rgb_share: share of the files that are uncompressed RGB; the others are JPEG Baseline YBR_FULL_422.

    Raises:
        InputError: if a value is out of range; all problems at once.

    Example:
        >>> PhantomSpec(patients=96).patients_of("test")
        range(75, 96)
    """

    patients: int = 96
    images_per_patient: int = 11
    seed: int = 0
    size: tuple[int, int] = (480, 640)
    imbalance: float = 8.0
    clip_share: float = 0.08
    rgb_share: float = 0.08

    def __post_init__(self) -> None:
        problems = []
        if self.patients < MIN_PATIENTS:
            problems.append(f"patients is {self.patients}; at least {MIN_PATIENTS} are needed for three splits")
        if self.images_per_patient < 1:
            problems.append(f"images_per_patient is {self.images_per_patient}; use 1 or more")
        if self.seed < 0:
            problems.append(f"seed is {self.seed}; use 0 or more")
        if self.imbalance < 1:
            problems.append(f"imbalance is {self.imbalance}; use 1 (balanced) or more")
        for name, share in (("clip_share", self.clip_share), ("rgb_share", self.rgb_share)):
            if not 0 <= share <= 1:
                problems += [f"{name} is {share}; use 0 to 1"]
        for what, value, low, high in zip(("rows", "columns"), self.size, MIN_SIZE, MAX_SIZE, strict=True):
            if not low <= value <= high or value % 2:
                problems.append(f"size has {value} {what}; use an even number from {low} to {high}")
        if problems:
            raise InputError("phantom", problems)

    def patients_of(self, split: str) -> range:
        """Return the numbers of the patients of a split."""
        test = max(2, round(0.22 * self.patients))
        val = max(1, round(0.15 * self.patients))
        train = self.patients - val - test
        return {
            "train": range(train),
            "val": range(train, train + val),
            "test": range(train + val, self.patients),
        }[split]


@dataclass(frozen=True)
class Planned:
    """One file to be made: the `index`-th of a `patient`, showing `plane`."""

    patient: int
    index: int
    split: str
    plane: str


def class_counts(total: int, floor: int, imbalance: float) -> list[int]:
    """Split `total` images over the classes in the order of `FREQUENCY`.

    Args:
        total: number of images.
        floor: fewest images of a class, as far as `total` reaches.
        imbalance: ratio of the first share to the last; the shares between fall geometrically.

    Example:
        >>> counts = class_counts(1000, 5, 8.0)
        >>> sum(counts), counts[0], counts[-1]
        (1000, 145, 18)
    """
    shares = np.geomspace(imbalance, 1, len(FREQUENCY))
    floor = min(floor, total // len(FREQUENCY))
    counts = np.maximum(floor, np.floor(shares / shares.sum() * total)).astype(int)
    # Flooring leaves some over, the floor may take too many: settle both with the classes that are furthest off.
    while counts.sum() != total:
        lacking = shares / shares.sum() * total - counts
        if counts.sum() < total:
            counts[int(np.argmax(lacking))] += 1
        else:
            counts[int(np.argmin(np.where(counts > floor, lacking, np.inf)))] -= 1
    return [int(count) for count in counts]


def make_plan(spec: PhantomSpec) -> list[list[Planned]]:
    """Return the files of each patient.

    Dealing the images of one class after another to the patients in turn spreads each class over as many patients as it
    has images, and gives every patient equally many.
    """
    plan: list[list[Planned]] = []
    for number, (split, floor) in enumerate(zip(SPLITS, (8, 4, 5), strict=True)):
        rng = np.random.default_rng([spec.seed, 7, number])
        patients = spec.patients_of(split)
        counts = class_counts(len(patients) * spec.images_per_patient, floor, spec.imbalance)
        planes = [FREQUENCY[k] for k in rng.permutation(len(FREQUENCY)) for _ in range(counts[k])]
        for offset, patient in enumerate(patients):
            shown: Sequence[str] = rng.permutation(np.array(planes[offset :: len(patients)])).tolist()
            plan.append([Planned(patient, index, split, plane) for index, plane in enumerate(shown)])
    return plan


def class_index(plane: str) -> int:
    """Return the `class_int` of a plane."""
    return list(PLANES).index(plane)
