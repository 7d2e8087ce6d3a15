"""How often do the 95 % intervals hold the truth when some classes are rare?

    python benchmarks/interval_coverage.py

Draws patients of different difficulty, one to three frames each, of eight classes as frequent as in the measured test
split of docs/evaluation.md: the two rarest have 1.3 and 3.6 images on average. The truth is that of very many patients,
averaged over the classes that the draw holds.
"""

from __future__ import annotations

import argparse

import numpy as np

from fetal_monai.metrics import Predictions
from fetal_monai.metrics.bootstrap import bootstrap_intervals
from fetal_monai.metrics.classification import ENOUGH_IMAGES, MACRO_F1_OF_COMMON

FREQUENCY = np.array([28, 22, 38, 32, 15, 12, 1.5, 4])
EASE = np.array([3.0, 3.3, 3.3, 1.7, 1.2, 1.0, 2.5, 2.5])
AVERAGED = {"macro_f1": "f1", MACRO_F1_OF_COMMON: "f1", "balanced_accuracy": "recall"}


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=68)
    parser.add_argument("--draws", type=int, default=4000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    whole = bootstrap_intervals(draw(rng, 200_000), replicates=0).per_class
    truth = {name: np.array([whole[of][k].value for k in whole[of]]) for name, of in AVERAGED.items()}
    held = {name: list[bool]() for name in AVERAGED}
    for seed in range(arguments.draws):
        table = draw(rng, arguments.patients)
        support = np.bincount(table.labels, minlength=len(FREQUENCY))
        overall = bootstrap_intervals(table, replicates=400, seed=seed).overall
        for name, interval in overall.items():
            if name in AVERAGED and interval.low is not None and interval.high is not None:
                least = ENOUGH_IMAGES if name == MACRO_F1_OF_COMMON else 1
                held[name].append(interval.low <= truth[name][support >= least].mean() <= interval.high)
    print("| average | intervals that hold the truth |\n|---|---|")
    for name, hits in held.items():
        print(f"| {name} | {np.mean(hits):.1%} of {len(hits)} |")


def draw(rng: np.random.Generator, patients: int) -> Predictions:
    """Predictions of some patients."""
    groups = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    rows, patient_ids = np.arange(len(groups)), groups.astype(str)
    labels = rng.choice(len(FREQUENCY), len(groups), p=FREQUENCY / FREQUENCY.sum())
    scores = rng.normal(size=(len(groups), len(FREQUENCY)))
    scores[rows, labels] += EASE[labels] + rng.normal(0, 0.8, patients)[groups]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return Predictions("abcdefgh", rows.astype(str), [-1] * len(rows), labels, probabilities, patient_ids=patient_ids)


if __name__ == "__main__":
    main()
