"""How sure and how right a consensus of simulated experts is: the table of docs/data.md.

python benchmarks/consensus.py
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from crowdkit.aggregation import DawidSkene
from numpy.typing import NDArray

from fetal_monai.data.consensus import Votes, find_consensus

DRAWS = 4
CASES = {  # images, classes, how often each expert is right, whether the errors are systematic
    "errors in any class": (300, 16, (0.95, 0.8, 0.6), False),
    "errors mostly in the next class": (2000, 4, (0.9, 0.8, 0.55, 0.5, 0.45), True),
}


def simulate(
    seed: int, images: int, classes: int, accuracies: tuple[float, ...], systematic: bool
) -> tuple[Votes, NDArray[np.int64]]:
    """Draw the true classes, of unequal shares, and the votes for them."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, images, p=rng.dirichlet(np.ones(classes)))
    tables = []
    for number, accuracy in enumerate(accuracies):
        wrong = np.full(classes - 1, 1 / (classes - 1))
        if systematic:
            wrong = np.array([0.8, 0.2, *np.zeros(classes - 3)])
        step = rng.choice(classes, images, p=[accuracy, *(1 - accuracy) * wrong])
        votes = {"image": range(images), "expert": f"e{number}", "label": (truth + step) % classes}
        tables.append(pd.DataFrame(votes))
    table = pd.concat(tables).sort_values(["image", "expert"], ignore_index=True)
    return Votes({str(name): name for name in range(classes)}, pd.DataFrame(index=range(images)), table), truth


def fit_alone(votes: Votes) -> NDArray[np.float64]:
    """The probabilities of the fit itself, of the images that it was fitted to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = DawidSkene(200).fit_predict_proba(votes.table.set_axis(["task", "worker", "label"], axis=1))
    return found.reindex(columns=range(len(votes.class_numbers))).fillna(0).to_numpy()


def main() -> None:
    """Print the table."""
    for name, case in CASES.items():
        scores: dict[str, list[tuple[float, float, float]]] = {}
        for seed in range(DRAWS):
            votes, truth = simulate(seed, *case)
            found = {
                method: find_consensus(votes, method).posterior for method in ("dawid-skene", "one-coin", "majority")
            }
            for method, posterior in {"the fit's own": fit_alone(votes), **found}.items():
                own = posterior[np.arange(len(truth)), truth].clip(1e-12)
                row = posterior.max(axis=1).mean(), (posterior.argmax(axis=1) == truth).mean(), -np.log(own).mean()
                scores.setdefault(method, []).append(row)
        for method, rows in scores.items():
            sure, right, surprise = np.mean(rows, axis=0)
            print(f"| {name} | {method} | {sure:.3f} | {right:.3f} | {surprise:.2f} |")


if __name__ == "__main__":
    main()
