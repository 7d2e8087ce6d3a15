"""Ignite handlers that MONAI and ignite lack."""

from fetal_monai.handlers.data_wait import DataWait
from fetal_monai.handlers.deferred_reweighting import DeferredReweighting
from fetal_monai.handlers.early_stop import EarlyStop
from fetal_monai.handlers.evaluation_writer import EvaluationWriter
from fetal_monai.handlers.global_batch_loss import GlobalBatchLoss
from fetal_monai.handlers.mixed_batches import MixedBatches, RectangleMix
from fetal_monai.handlers.model_loader import ModelLoader
from fetal_monai.handlers.model_saver import ModelSaver
from fetal_monai.handlers.prediction_collector import PredictionCollector
from fetal_monai.handlers.prepare_views import PrepareViews
from fetal_monai.handlers.same_buffers import SameBuffers
from fetal_monai.handlers.seed_epochs import SeedEpochs
from fetal_monai.handlers.sharpness_aware import SharpnessAware
from fetal_monai.handlers.soft_labels import SoftLabels
from fetal_monai.handlers.tensorboard_figures import TensorBoardFigures
from fetal_monai.handlers.training_checkpoint import TrainingCheckpoint
from fetal_monai.handlers.validate_last_epoch import ValidateLastEpoch
from fetal_monai.handlers.weight_average import WeightAverage

__all__ = [
    "DataWait",
    "DeferredReweighting",
    "EarlyStop",
    "EvaluationWriter",
    "GlobalBatchLoss",
    "MixedBatches",
    "ModelLoader",
    "ModelSaver",
    "PredictionCollector",
    "PrepareViews",
    "RectangleMix",
    "SameBuffers",
    "SeedEpochs",
    "SharpnessAware",
    "SoftLabels",
    "TensorBoardFigures",
    "TrainingCheckpoint",
    "ValidateLastEpoch",
    "WeightAverage",
]
