"""Ignite handlers that MONAI and ignite lack."""

from fetal_monai.handlers.evaluation_writer import EvaluationWriter

__all__ = ["EvaluationWriter"]
