"""MONAI dictionary transforms for ultrasound frames."""

from fetal_monai.transforms.attenuation import RandDepthGaind, RandShadowd
from fetal_monai.transforms.augment import RandColorJitterd, RandCropByAread, RandGrayscaled
from fetal_monai.transforms.banner import MaskBannerd, mask_banner
from fetal_monai.transforms.dual_resolution import DualResolutiond, leave_shallow_to_network
from fetal_monai.transforms.regions import CropToRegiond, MaskOutsideRegionsd
from fetal_monai.transforms.resize import ResizeFramed, resize_frame
from fetal_monai.transforms.screen_marks import RandScreenMarksd

__all__ = [
    "CropToRegiond",
    "DualResolutiond",
    "MaskBannerd",
    "MaskOutsideRegionsd",
    "RandColorJitterd",
    "RandCropByAread",
    "RandDepthGaind",
    "RandGrayscaled",
    "RandScreenMarksd",
    "RandShadowd",
    "ResizeFramed",
    "leave_shallow_to_network",
    "mask_banner",
    "resize_frame",
]
