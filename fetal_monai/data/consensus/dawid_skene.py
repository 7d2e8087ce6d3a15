"""From votes to probabilities of the classes, and to what each expert confuses (Dawid and Skene 1979)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fetal_monai.data.consensus.leave_one_out import leave_one_out
from fetal_monai.data.consensus.votes import Votes
from fetal_monai.utils.extras import needing

Method = Literal["dawid-skene", "one-coin", "majority"]
"""`one-coin` estimates an accuracy for each expert in the place of a confusion, which needs fewer images; `majority`
counts all experts alike."""
MOST_ITERATIONS = 200
_TIE = 1e-6


@dataclass(frozen=True)
class Consensus:
    """What the experts say together.

    Args:
        votes: what it was concluded from.
        method: how.
        posterior: (N, C), the probability of each class for each image; rows sum to 1.
        confusion: for each expert (C, C) expected numbers of images; rows are the true class, columns what the expert
            called it.
        alpha: Krippendorff's alpha for nominal data, 1 where all agree and about 0 by chance; None where one class
            alone was named.
        converged: whether the iteration came to its end.
    """

    votes: Votes
    method: Method
    posterior: NDArray[np.float64]
    confusion: dict[str, NDArray[np.float64]] = field(repr=False)
    alpha: float | None
    converged: bool = True

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,), the most probable class of each image; of equals, the first in the list of classes."""
        return np.asarray(self._likely.argmax(axis=1))

    @property
    def probability(self) -> NDArray[np.float64]:
        """(N,), of that class."""
        return np.asarray(self.posterior.max(axis=1))

    @property
    def tied(self) -> NDArray[np.bool_]:
        """(N,), whether another class is as probable."""
        return np.asarray(self._likely.sum(axis=1) > 1)

    @property
    def unnamed(self) -> NDArray[np.bool_]:
        """(N,), whether no expert called the image what all together do: all seem to confuse the class alike."""
        voted = np.zeros(self.posterior.shape, dtype=bool)
        voted[self.votes.table["image"], self.votes.table["label"]] = True
        return np.asarray(~voted[np.arange(len(voted)), self.labels])

    @property
    def disputed(self) -> list[int]:
        """The images that some expert called otherwise than all together do, the most doubtful first."""
        table = self.votes.table
        right = (table["label"].to_numpy() == self.labels[table["image"]]).astype(float)
        agreeing = pd.Series(right).groupby(table["image"].to_numpy()).mean().to_numpy()
        order = np.lexsort((np.arange(len(agreeing)), agreeing, self.probability.round(6)))
        return [int(image) for image in order if agreeing[image] < 1]

    @property
    def _likely(self) -> NDArray[np.bool_]:
        """(N, C), which classes are the most probable."""
        return np.asarray(self.posterior >= self.posterior.max(axis=1, keepdims=True) - _TIE)

    def rates(self, expert: str) -> NDArray[np.float64]:
        """How an expert calls each class.

        Args:
            expert: the name.

        Returns:
            (C, C), rows sum to 1; NaN for classes of which the expert has seen less than half an image.
        """
        counts = self.confusion[expert]
        seen = counts.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(counts, seen, out=np.full(counts.shape, np.nan), where=seen >= 0.5))

    def accuracy(self, expert: str) -> float:
        """The share of an expert's images that are estimated to be right, 0 to 1."""
        return float(np.trace(self.confusion[expert]) / self.confusion[expert].sum())


def find_consensus(votes: Votes, method: Method = "dawid-skene") -> Consensus:
    """Weigh the experts' votes by what each tends to confuse, which is learnt from the same votes.

    The fit is crowd-kit's; the probabilities of Dawid and Skene's model are then taken with each image left out, see
    `leave_one_out`. Two experts who disagree are weighed by nothing but how they label elsewhere; three, and some ten
    images of each class, are what the method is for.

    Args:
        votes: of at least two experts.
        method: see `Method`.

    Returns:
        The consensus.

    Raises:
        FetalMonaiError: if crowd-kit is not installed.

    Example:
        >>> table = pd.DataFrame({"image": [0, 0, 0, 1, 1, 1], "expert": list("abcabc"), "label": [0, 0, 1, 1, 1, 1]})
        >>> found = find_consensus(Votes({"Femur": 0, "Other": 1}, pd.DataFrame(index=range(2)), table), "majority")
        >>> found.labels.tolist(), found.probability.round(2).tolist(), found.disputed
        ([0, 1], [0.67, 1.0], [0])
    """
    with needing("consensus", "a consensus needs crowd-kit"):
        from crowdkit.aggregation import DawidSkene, MajorityVote, OneCoinDawidSkene  # noqa: PLC0415
        from crowdkit.metrics.data import alpha_krippendorff  # noqa: PLC0415
    answers = votes.table.rename(columns={"image": "task", "expert": "worker"})[["task", "worker", "label"]]
    converged = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its way with pandas is an older one
        if method == "majority":
            found = MajorityVote().fit_predict_proba(answers)
        else:
            model: Any = (DawidSkene if method == "dawid-skene" else OneCoinDawidSkene)(n_iter=MOST_ITERATIONS).fit(
                answers
            )
            found, converged = model.probas_, len(model.loss_history_) < MOST_ITERATIONS
        shared = answers[answers.duplicated("task", keep=False)]
        alpha = float(alpha_krippendorff(shared)) if len(set(shared["label"])) > 1 else None
    images, labels = answers["task"].to_numpy(), answers["label"].to_numpy(dtype=np.int64)
    named = sorted(set(labels))
    shares = found.reindex(index=range(len(votes.images)), columns=named).fillna(0.0).to_numpy(dtype=float)
    shares = shares / shares.sum(axis=1, keepdims=True)
    if method == "dawid-skene":
        experts = np.asarray(answers["worker"].astype("category").cat.codes, dtype=np.int64)
        shares = leave_one_out(shares, images, experts, np.searchsorted(named, labels).astype(np.int64))
    posterior = np.zeros((len(shares), len(votes.class_numbers)))
    posterior[:, named] = shares
    confusion = {
        str(expert): _expected_counts(posterior, rows["image"].to_numpy(), rows["label"].to_numpy())
        for expert, rows in votes.table.groupby("expert", sort=True)
    }
    return Consensus(votes, method, posterior, confusion, alpha, converged)


def _expected_counts(
    posterior: NDArray[np.float64], images: NDArray[np.int64], given: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(C, C): how many images of each true class, as far as that is known, were called what."""
    counts = np.zeros((posterior.shape[1], posterior.shape[1]))
    np.add.at(counts.T, given, posterior[images])
    return counts
