"""Losses for imbalanced classes, and class weights.

Label smoothing and plain weighted cross-entropy are `torch.nn.CrossEntropyLoss`; see `bundle/configs/losses/`.
"""

from fetal_monai.losses.class_weights import effective_number_weights, inverse_frequency_weights, ldam_margins
from fetal_monai.losses.focal import FocalLoss
from fetal_monai.losses.ldam import LDAMFocalLoss, LDAMLoss
from fetal_monai.losses.logit_adjusted import LogitAdjustedLoss

__all__ = [
    "FocalLoss",
    "LDAMFocalLoss",
    "LDAMLoss",
    "LogitAdjustedLoss",
    "effective_number_weights",
    "inverse_frequency_weights",
    "ldam_margins",
]
