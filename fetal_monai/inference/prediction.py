"""What a `Predictor` gives for each image: a `Prediction`, or a `ReadFailure` that says why there is none."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ModelIdentity:
    """Which model, and which preparation of the images, a prediction comes from.

    Args:
        name: of the release; of a model that is none, of the network's class.
        version: of the release, or of the fetal_monai that trained it; and the beginning of the weights' digest.
        weights_sha256: of `model.pt`.
        preprocessing_sha256: of the records of the transforms between the decoded frame and the network's views.
        fetal_monai_version: of the software that predicts.
        engine: what ran the network: library, version and precision.
    """

    name: str
    version: str
    weights_sha256: str
    preprocessing_sha256: str
    fetal_monai_version: str
    engine: str = "PyTorch"


@dataclass(frozen=True, eq=False)
class Prediction:
    """One image, classified.

    Args:
        source: the file as it was given, or `array 3` for the third array.
        sop_instance_uid: of the DICOM instance; None for pictures and arrays.
        frame: zero-based frame of a clip, -1 for a still.
        probabilities: (C,) float64, summing to one; calibrated if the model folder holds a calibration.
        class_names: the C classes.
        label: the class, or None where the model abstains because it is not sure enough.
        conformal_set: the classes among which the true one is with the promised probability, the most probable class
            first, also where the model abstains; None if the model folder promises nothing.
        ood_score: how unlike the training images this one is, the higher the less like; None if the model folder cannot
            tell.
        out_of_distribution: whether that score is beyond its threshold.
        identity: of the model.
        measured: what the caller's own measure said of the frame's pixels, if one was given to `Predictor.predict`.

    Example:
        >>> identity = ModelIdentity("Net", "1", "ab", "cd", "1")
        >>> found = Prediction("a.dcm", "1.2", -1, np.array([0.25, 0.75]), ("Femur", "Other"), "Other", identity)
        >>> found.top, found.confidence, found.to_dict()["probabilities"]
        ('Other', 0.75, {'Femur': 0.25, 'Other': 0.75})
    """

    source: str
    sop_instance_uid: str | None
    frame: int
    probabilities: NDArray[np.float64]
    class_names: tuple[str, ...]
    label: str | None
    identity: ModelIdentity
    conformal_set: tuple[str, ...] | None = None
    ood_score: float | None = None
    out_of_distribution: bool | None = None
    measured: Any = None

    @property
    def top(self) -> str:
        """The most probable class, whether or not the model abstains."""
        return self.class_names[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """Probability of the most probable class, in [0, 1]."""
        return float(self.probabilities.max())

    def shows(self, plane: str) -> bool:
        """Say whether the model stands by a plane: it labels the image so, and finds nothing unusual about it.

        Args:
            plane: a class.
        """
        return self.label == plane and not self.out_of_distribution

    def to_dict(self, *, with_identity: bool = True) -> dict[str, Any]:
        """Give the prediction as JSON values; `predictions.schema.json` describes them.

        Args:
            with_identity: whether to add the model's identity, which is the same for all images of one model.

        Returns:
            Plain values only.
        """
        probabilities = dict(zip(self.class_names, self.probabilities.tolist(), strict=True))
        content: dict[str, Any] = {
            "source": self.source,
            "sop_instance_uid": self.sop_instance_uid,
            "frame": self.frame,
            "label": self.label,
            "top": self.top,
            "confidence": self.confidence,
            "probabilities": probabilities,
            "conformal_set": None if self.conformal_set is None else list(self.conformal_set),
            "ood_score": self.ood_score,
            "out_of_distribution": self.out_of_distribution,
        }
        return {**content, "identity": asdict(self.identity)} if with_identity else content


@dataclass(frozen=True)
class ReadFailure:
    """One input that could not be classified, and why; the others go on.

    Args:
        source: the file as it was given, with its frame if one was asked for.
        message: what is wrong and what to do.
    """

    source: str
    message: str
