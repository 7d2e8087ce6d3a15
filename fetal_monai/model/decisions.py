"""What a model folder adds to its probabilities: calibration, abstention, prediction sets, a sense for alien images.

Each part is optional. `calibration.json` holds the calibration; `decisions.json` the thresholds of abstention,
conformal sets and out-of-distribution scores, fitted on the validation split with the weights and the other two files,
all named by their digests; `ood.npz` is what those scores are computed with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from fetal_monai.errors import InputError
from fetal_monai.metrics.conformal import ConformalSets
from fetal_monai.metrics.ood import Mahalanobis
from fetal_monai.metrics.selective import Abstention
from fetal_monai.model.calibration import Calibration
from fetal_monai.model.file_digests import FILES, check_files, describe_files
from fetal_monai.utils.files import write_json

CALIBRATION_FILE = "calibration.json"
DECISIONS_FILE = "decisions.json"
OOD_FILE = "ood.npz"
FITTED_FILES = (CALIBRATION_FILE, DECISIONS_FILE, OOD_FILE)
"""What a model folder holds that was fitted to its weights, and is wrong for others."""
_EVALUATE = "evaluate the model again"


@dataclass(frozen=True, eq=False)
class Decisions:
    """The parts that are there.

    Args:
        calibration: of the network's logits.
        abstention: the confidence below which there is no label.
        conformal: thresholds of the prediction sets.
        ood: distance of the fused features to those of the training images.
        ood_threshold: of that distance, above which an image is called out of distribution.
    """

    calibration: Calibration | None = None
    abstention: Abstention | None = None
    conformal: ConformalSets | None = None
    ood: Mahalanobis | None = None
    ood_threshold: float | None = None

    @property
    def least_confidence(self) -> float:
        """The confidence that a label needs; 0 where the model never abstains."""
        found = None if self.abstention is None else self.abstention.threshold
        return 0.0 if found is None else found

    def write(self, folder: str | PathLike[str], weights_sha256: str) -> None:
        """Write the parts that are there into a model folder, and remove those that are not.

        Args:
            folder: the model folder.
            weights_sha256: digest of the weights that they were fitted with.
        """
        root = Path(folder)
        (root / DECISIONS_FILE).unlink(missing_ok=True)  # first: it must never speak of another model's parts
        for name, part in ((CALIBRATION_FILE, self.calibration), (OOD_FILE, self.ood)):
            if part is None:
                (root / name).unlink(missing_ok=True)
        if self.calibration is not None:
            self.calibration.write_json(root / CALIBRATION_FILE)
        if self.ood is not None:
            self.ood.save(root / OOD_FILE)
        content = {
            "weights_sha256": weights_sha256,
            FILES: describe_parts(root),
            "abstention": None if self.abstention is None else asdict(self.abstention),
            "conformal": None if self.conformal is None else _finite(asdict(self.conformal)),
            "ood_threshold": self.ood_threshold,
        }
        write_json(content, root / DECISIONS_FILE)


def describe_parts(folder: str | PathLike[str]) -> dict[str, dict[str, Any]]:
    """List the files that thresholds hold with, as `decisions.json` names them.

    Args:
        folder: the model folder.

    Returns:
        `bytes` and `sha256` of `calibration.json` and `ood.npz`, as far as they are there.
    """
    return describe_files(folder, [name for name in (CALIBRATION_FILE, OOD_FILE) if Path(folder, name).exists()])


def read_decisions(folder: str | PathLike[str], class_names: Sequence[str], weights_sha256: str) -> Decisions:
    """Read the parts that a model folder holds.

    Args:
        folder: the model folder.
        class_names: the model's classes.
        weights_sha256: digest of its weights.

    Returns:
        The parts; None for those without a file.

    Raises:
        InputError: if a file is damaged, or speaks of other classes or other weights.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> Decisions(abstention=Abstention(0.05, 0.9, 0.7, 0.8, 0.04)).write(folder, "ab")
        >>> read_decisions(folder, ["Femur", "Other"], "ab").least_confidence
        0.7
    """
    root, names = Path(folder), tuple(class_names)
    path = root / CALIBRATION_FILE
    found = Decisions(
        calibration=Calibration.read_json(path) if path.exists() else None,
        ood=Mahalanobis.load(root / OOD_FILE) if (root / OOD_FILE).exists() else None,
    )
    if found.calibration is not None and found.calibration.class_names != names:
        raise InputError(path, ["it calibrates other classes than the model's; evaluate the model again"])
    if (root / DECISIONS_FILE).exists():
        found = _with_thresholds(found, root / DECISIONS_FILE, names, weights_sha256)
    return found


def _with_thresholds(found: Decisions, path: Path, names: tuple[str, ...], weights_sha256: str) -> Decisions:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["weights_sha256"] != weights_sha256:
            raise InputError(path, [f"it was fitted with other weights than model.pt; {_EVALUATE}"])
        if FILES in content:  # folders of earlier versions lack it
            _check_parts(path.parent, content[FILES])
        abstention, conformal = content["abstention"], content["conformal"]
        sets = None if conformal is None else _conformal(conformal)
        found = replace(
            found,
            abstention=None if abstention is None else Abstention(**abstention),
            conformal=sets,
            ood_threshold=content["ood_threshold"],
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"these are no thresholds of a model ({type(error).__name__}: {error}); evaluate the model again"
        raise InputError(path, [problem]) from error
    if found.conformal is not None and found.conformal.class_names != names:
        raise InputError(path, ["its sets are of other classes than the model's; evaluate the model again"])
    return found


def _check_parts(folder: Path, files: dict[str, dict[str, Any]]) -> None:
    """Refuse a calibration or distances that the thresholds were not fitted with: they would be silently wrong."""
    check_files(folder, files, remedy=_EVALUATE)
    if added := sorted(describe_parts(folder).keys() - files.keys()):
        reason = f"was not there when the thresholds were fitted; remove it, or {_EVALUATE}"
        raise InputError(folder, [f"{name} {reason}" for name in added])


def _finite(content: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: a class that always enters the set has no threshold."""
    return {**content, "thresholds": [None if math.isinf(value) else value for value in content["thresholds"]]}


def _conformal(content: dict[str, Any]) -> ConformalSets:
    lists = {name: tuple(content[name]) for name in ("class_names", "calibrated_on", "images")}
    thresholds = tuple(math.inf if value is None else float(value) for value in content["thresholds"])
    return ConformalSets(float(content["coverage"]), thresholds=thresholds, **lists)
