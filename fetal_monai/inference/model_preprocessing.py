"""The preprocessing of a model folder as one MONAI transform, for configurations that know nothing of the model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from monai.transforms.compose import Compose
from monai.transforms.transform import Transform

from fetal_monai.model.folder import load_preprocessing


class ModelPreprocessing(Transform):
    """What a model was trained with between the decoded frame and the network's views, as its folder records it.

    The folder is read at the first image, so that a configuration can be looked at before there is a model.

    Args:
        folder: the model folder.

    Raises:
        InputError: at the first image, if the folder does not say.
        FetalMonaiError: likewise, if it names transforms that this version does not have.

    Example:
        >>> import tempfile, torch
        >>> from fetal_monai.model.facts import ModelFacts, write_facts
        >>> from fetal_monai.transforms import ResizeFramed
        >>> folder = tempfile.mkdtemp()
        >>> _ = write_facts(folder, ModelFacts(["a", "b"], {}, [ResizeFramed("image", size=(4, 6)).config]))
        >>> ModelPreprocessing(folder)({"image": torch.zeros(3, 8, 8, dtype=torch.uint8)})["image"].shape
        torch.Size([3, 4, 6])
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self._transforms: Compose | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> Any:
        """Transform one item.

        Args:
            data: holds a decoded frame, uint8 (3, H, W), under `image`.

        Returns:
            The same with the network's views.
        """
        if self._transforms is None:
            self._transforms = load_preprocessing(self.folder)
        return self._transforms(data)
