"""At the start of a run: the network of a model folder, whatever a configuration says."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ignite.engine import Engine, Events
from monai.engines.evaluator import SupervisedEvaluator

from fetal_monai.model.folder import load_model


class ModelLoader:
    """Rebuild a trained network from its model folder and give it to an evaluator, when it starts.

    MONAI's `CheckpointLoader` fills a network that the configuration must describe; a model folder describes its own.

    Args:
        folder: the model folder.

    Raises:
        InputError: at the start of a run, if a file is missing or the weights do not fit.
        FetalMonaiError: likewise, if the folder names classes that this version does not have.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)

    def attach(self, engine: Engine) -> None:
        """Hook into an evaluator.

        Args:
            engine: a MONAI `SupervisedEvaluator`; its network is replaced.
        """
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: SupervisedEvaluator) -> None:
        """Load the network to the evaluator's device.

        Args:
            engine: the evaluator.
        """
        network, _, _ = load_model(self.folder)
        engine.network = network.to(engine.state.device)
