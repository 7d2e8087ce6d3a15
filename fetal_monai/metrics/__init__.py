"""Metrics that MONAI and ignite lack."""

from fetal_monai.metrics.classification import classification_metrics, confusion_counts, per_class_table
from fetal_monai.metrics.gathered_epoch_metric import GatheredEpochMetric
from fetal_monai.metrics.log_likelihood import calibrated_log_likelihood
from fetal_monai.metrics.macro_f1 import MacroF1
from fetal_monai.metrics.prediction_table import Predictions

__all__ = [
    "GatheredEpochMetric",
    "MacroF1",
    "Predictions",
    "calibrated_log_likelihood",
    "classification_metrics",
    "confusion_counts",
    "per_class_table",
]
