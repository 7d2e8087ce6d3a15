"""Ignite handlers that MONAI and ignite lack."""

from fetal_monai.handlers.evaluation_writer import EvaluationWriter
from fetal_monai.handlers.tensorboard_figures import TensorBoardFigures

__all__ = ["EvaluationWriter", "TensorBoardFigures"]
