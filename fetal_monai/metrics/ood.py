"""How unlike the training images an image is: energy of the logits, Mahalanobis distance of the features."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fetal_monai.errors import InputError
from fetal_monai.utils.files import atomic_path

COMPONENTS = 64
ARRAYS = ("means", "directions", "variances", "noise")


def energy_score(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Free energy of the logits (Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020).

    Args:
        logits: (N, C); it is their size that carries the information, so probabilities won't do.
        temperature: positive.

    Returns:
        (N,) -T log sum exp(logits / T): the higher, the less like the training images.

    Example:
        >>> energy_score([[10.0, 0.0], [0.0, 0.0]]).round(2).tolist()
        [-10.0, -0.69]
    """
    values = np.asarray(logits, dtype=np.float64)
    return np.asarray(-temperature * logsumexp(values / temperature, axis=1))


@dataclass(frozen=True, eq=False)
class Mahalanobis:
    """Distance to the nearest class in feature space (Lee et al., NeurIPS 2018), with a shared covariance.

    Features are scaled to unit length first (Mueller and Hein, "Mahalanobis++", ICML 2025): images that excite the
    network little, such as noise, would otherwise lie near the classes' means. Features outnumber images, so the
    covariance within classes is modelled as in probabilistic principal components (Tipping and Bishop, 1999): its
    leading directions are kept, the rest is isotropic noise. It stays invertible, and a deviation outside the leading
    directions still counts.

    Args:
        means: (K, D) of the K classes that were present.
        directions: (Q, D) orthonormal leading directions of the covariance within classes.
        variances: (Q,) along them.
        noise: variance in every other direction, positive.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> centres = np.repeat([[9.0, 0, 0, 0], [0, 9.0, 0, 0]], 100, axis=0)
        >>> model = Mahalanobis.fit(rng.normal(size=(200, 4)) + centres, np.repeat([0, 1], 100), components=2)
        >>> near, far = model.score([[8.0, 0, 0, 0], [0, 0, 1.0, 0]])
        >>> bool(near < 1 < far)
        True
    """

    means: NDArray[np.float64]
    directions: NDArray[np.float64]
    variances: NDArray[np.float64]
    noise: float

    @classmethod
    def fit(cls, features: ArrayLike, labels: ArrayLike, components: int = COMPONENTS) -> Mahalanobis:
        """Fit on training images.

        Args:
            features: (N, D) fused features.
            labels: (N,) class indices.
            components: how many leading directions to keep, at most.

        Returns:
            The fitted model.

        Raises:
            InputError: if features are not finite, images are too few, or those of each class all alike.
        """
        values, classes = _unit(features), np.asarray(labels)
        if values.ndim != 2 or len(values) != len(classes) or not np.isfinite(values).all():
            raise InputError("features", [f"must be finite, one row for each of {len(classes)} labels: {values.shape}"])
        present, index = np.unique(classes, return_inverse=True)
        kept = min(components, values.shape[1] - 1, len(values) - len(present) - 1)
        if kept < 1:
            raise InputError("features", [f"{len(values)} images of {len(present)} classes are too few; use more"])
        means = np.stack([values[index == k].mean(axis=0) for k in range(len(present))])
        within, rounding = values - means[index], float(np.finfo(np.float32).eps)
        if np.square(within).max() <= rounding**2:  # of features of length 1
            raise InputError("features", ["do not differ within any class; use images that are not all the same"])
        pca = PCA(n_components=kept, svd_solver="full" if min(values.shape) <= 500 else "randomized", random_state=0)
        pca.fit(within)
        noise = max(float(pca.noise_variance_), rounding * float(pca.explained_variance_[0]))
        return cls(means, pca.components_, np.maximum(pca.explained_variance_, noise), noise)

    def score(self, features: ArrayLike) -> NDArray[np.float64]:
        """Squared distance to the nearest class, per dimension.

        Args:
            features: (N, D).

        Returns:
            (N,) values of 0 or more: the higher, the less like the training images. Those are about 1 where images
            outnumber dimensions, and less where noise is estimated from fewer.
        """
        values = _unit(features)
        distances = np.stack([self._distance(values - mean) for mean in self.means], axis=1)
        return np.asarray(distances.min(axis=1) / self.means.shape[1])

    def _distance(self, centred: NDArray[np.float64]) -> NDArray[np.float64]:
        along = centred @ self.directions.T
        rest = (centred**2).sum(axis=1) - (along**2).sum(axis=1)
        return np.asarray((along**2 / self.variances).sum(axis=1) + np.maximum(rest, 0) / self.noise)

    def save(self, path: str | os.PathLike[str], *, half: bool = False) -> None:
        """Write an .npz of float32 arrays, whole or not at all.

        Args:
            path: the file, beside the checkpoint that it belongs to; must end in .npz.
            half: directions, which make up most of its size, in float16. Scores then agree within 0.1 %, and within 5 %
                where features hardly differ within a class.
        """
        with atomic_path(path) as temporary:
            arrays: dict[str, Any] = {name: np.float32(getattr(self, name)) for name in ARRAYS}
            if half:  # the others are small, and their rounding would count
                arrays["directions"] = np.float16(arrays["directions"])
            np.savez(temporary, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Mahalanobis:
        """Read what `save` wrote; nothing in it is ever unpickled.

        Args:
            path: an .npz.

        Returns:
            The model.

        Raises:
            InputError: if the file is missing or is no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                means, directions, variances, noise = (arrays[name].astype(np.float64) for name in ARRAYS)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(path, [f"is no out-of-distribution model ({error}); fit it again"]) from error
        # Rounding leaves directions a little longer or shorter than 1, which counts much against the small noise.
        return cls(means, np.linalg.qr(directions.T)[0].T, variances, float(noise))


def _unit(features: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1))


def outlier_threshold(scores: ArrayLike, *, accepted: float = 0.95) -> float:
    """The score above which an image is called unlike the training images.

    Args:
        scores: of validation images.
        accepted: share of them to accept, between 0 and 1.

    Returns:
        The threshold.

    Raises:
        InputError: if there is no score.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0:
        raise InputError("out-of-distribution scores", ["no images; check that the validation split is not empty"])
    return float(np.quantile(values, accepted, method="higher"))


def detection_metrics(inside: ArrayLike, outside: ArrayLike) -> dict[str, float]:
    """How well a score tells images of another kind from test images.

    Args:
        inside: (N,) scores of test images of the planes.
        outside: (M,) scores of images of another kind.

    Returns:
        `auroc`, `average_precision` (of finding the outsiders) and `fpr_at_95`: the share of planes rejected when 95 %
        of the outsiders are.

    Raises:
        InputError: if either is empty.

    Example:
        >>> detection_metrics([0.1, 0.2], [0.3, 0.4])["auroc"]
        1.0
    """
    within, without = np.asarray(inside, dtype=np.float64), np.asarray(outside, dtype=np.float64)
    if within.size == 0 or without.size == 0:
        raise InputError(
            "out-of-distribution scores", ["no images on one side; give planes and images of another kind"]
        )
    truth = np.concatenate([np.zeros(within.size), np.ones(without.size)])
    scores = np.concatenate([within, without])
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)  # with it, 95 % might lie between two points
    return {
        "auroc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
        "fpr_at_95": float(false[np.argmax(true >= 0.95)]),
    }
