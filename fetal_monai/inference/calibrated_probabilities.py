"""Probabilities as a MONAI postprocessing transform: calibrated where the model folder says how."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform

from fetal_monai.errors import InputError
from fetal_monai.model.calibration import Calibration
from fetal_monai.model.decisions import CALIBRATION_FILE
from fetal_monai.model.facts import read_facts


class CalibratedProbabilitiesd(MapTransform):
    """Turn logits into the probabilities that an evaluation of the model folder has calibrated.

    A folder without calibration.json, such as that of a model never evaluated, gives plain softmax.

    Args:
        keys: of the logits, (C,) or (B, C).
        model_dir: the model folder.
        class_names: the classes, in the order of the logits; None takes those of the folder's model.json.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: if the calibration is damaged, or of other classes, or model.json is needed and missing.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> Calibration("temperature", ("a", "b"), (0.5, 0.5), (0.0, 0.0)).write_json(Path(folder, "calibration.json"))
        >>> transform = CalibratedProbabilitiesd("pred", folder, ["a", "b"])
        >>> transform({"pred": torch.tensor([2.0, 0.0])})["pred"].round(decimals=3).tolist()
        [0.7310000061988831, 0.26899999380111694]
    """

    def __init__(
        self,
        keys: KeysCollection,
        model_dir: str | PathLike[str],
        class_names: Sequence[str] | None = None,
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        path = Path(model_dir, CALIBRATION_FILE)
        self.calibration = Calibration.read_json(path) if path.exists() else None
        if self.calibration is None:
            return
        names = tuple(read_facts(model_dir).class_names if class_names is None else class_names)
        if self.calibration.class_names != names:
            raise InputError(path, [f"it is for {self.calibration.class_names}, not {names}; evaluate the model again"])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transform one item, or a batch.

        Args:
            data: holds logits under the keys.

        Returns:
            The same with probabilities there.
        """
        result = dict(data)
        for key in self.key_iterator(result):
            logits = torch.as_tensor(result[key])
            if self.calibration is not None:
                result[key] = self.calibration.probabilities(logits)
            else:
                result[key] = logits.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        return result
