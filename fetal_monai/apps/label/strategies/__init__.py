"""Active learning: which image or frame is labelled next, one strategy a file."""

from fetal_monai.apps.label.strategies.disagreement import BranchDisagreement
from fetal_monai.apps.label.strategies.distance import DistanceToLabelled
from fetal_monai.apps.label.strategies.entropy import PredictiveEntropy
from fetal_monai.apps.label.strategies.key_frames import KeyFrames

__all__ = ["BranchDisagreement", "DistanceToLabelled", "KeyFrames", "PredictiveEntropy"]
