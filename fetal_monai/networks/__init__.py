"""The dual-branch classifier, its backbones, and weights in and out."""

from fetal_monai.networks.classifiers import DualBranchClassifier, SingleBranchClassifier
from fetal_monai.networks.densenet import DenseNetBackbone
from fetal_monai.networks.efficientnet import EfficientNetBackbone
from fetal_monai.networks.imagenet import load_imagenet
from fetal_monai.networks.monai_backbone import MonaiBackbone
from fetal_monai.networks.options import check_options
from fetal_monai.networks.placing import place_network
from fetal_monai.networks.random_start import warn_of_random_start
from fetal_monai.networks.reference import load_reference_checkpoint
from fetal_monai.networks.resnet import ResNetBackbone

__all__ = [
    "DenseNetBackbone",
    "DualBranchClassifier",
    "EfficientNetBackbone",
    "MonaiBackbone",
    "ResNetBackbone",
    "SingleBranchClassifier",
    "check_options",
    "load_imagenet",
    "load_reference_checkpoint",
    "place_network",
    "warn_of_random_start",
]
