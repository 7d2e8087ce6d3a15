"""Cropping and masking by region: pixels, affine, regions and the fallback."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from fetal_monai.dicom.regions import DataType, Region, SpatialFormat, main_picture, regions_from_meta, regions_to_text
from fetal_monai.transforms import CropToRegiond, MaskOutsideRegionsd, ResizeFramed, mask_banner
from fetal_monai.transforms.banner import REFERENCE_FILL
from fetal_monai.transforms.regions import frame_regions


def region(left, top, right, bottom, data_type=DataType.TISSUE, spatial_format=SpatialFormat.TWO_D):
    return Region(spatial_format, data_type, left, top, right, bottom, 3, 3, 0.02, 0.03)


def frame(*regions, rows=40, columns=60):
    """Every pixel tells its row in red and its column in green."""
    pixels = torch.zeros(3, rows, columns, dtype=torch.uint8)
    pixels[0] += torch.arange(rows)[:, None]
    pixels[1] += torch.arange(columns)
    meta = {
        "regions": regions_to_text(regions),
        "spatial_shape": np.array([rows, columns]),
        "affine": torch.diag(torch.tensor([0.3, 0.2, 1.0], dtype=torch.float64)),
        "frame": 5,
    }
    return MetaTensor(pixels, meta=meta)


def crop(image, **options):
    return CropToRegiond("image", **options)({"image": image})["image"]


def mask(image, **options):
    return MaskOutsideRegionsd("image", **options)({"image": image})["image"]


def test_the_crop_is_the_region_and_its_physical_place_stays():
    image = frame(region(10, 5, 49, 34), region(0, 0, 5, 5))
    cropped = crop(image)
    assert cropped.shape == (3, 30, 40)
    assert cropped[:2, 0, 0].tolist() == [5, 10]
    assert cropped[:2, -1, -1].tolist() == [34, 49]
    torch.testing.assert_close(
        cropped.affine @ torch.tensor([0.0, 0, 1]).double(), image.affine @ torch.tensor([5.0, 10, 1]).double()
    )
    assert main_picture(regions_from_meta(cropped.meta)) == region(0, 0, 39, 29)
    assert list(cropped.meta["spatial_shape"]) == [30, 40]
    assert cropped.meta["frame"] == 5
    torch.testing.assert_close(crop(cropped), cropped)


def test_a_margin_stops_at_the_border():
    assert crop(frame(region(10, 5, 49, 34)), margin=7).shape == (3, 40, 54)


@settings(max_examples=80, deadline=None)
@given(box=st.tuples(*[st.integers(-30, 90)] * 4))
def test_no_region_breaks_the_crop(box):
    left, right = sorted(box[:2])
    top, bottom = sorted(box[2:])
    image = frame(region(left, top, right, bottom))
    cropped = crop(image)
    assert 1 <= cropped.shape[1] <= 40
    assert 1 <= cropped.shape[2] <= 60
    inside = left < 60 and right >= 0 and top < 40 and bottom >= 0
    if inside:
        assert cropped[0, 0, 0] == max(top, 0)
        assert cropped[1, 0, 0] == max(left, 0)
    else:
        torch.testing.assert_close(cropped.as_tensor(), mask_banner(image).as_tensor())


def test_the_mask_keeps_pictures_only():
    strip = region(0, 0, 3, 39, DataType.GREY_BAR)
    doppler = region(0, 30, 59, 39, DataType.PW_DOPPLER, SpatialFormat.SPECTRAL)
    image = frame(region(10, 5, 29, 24), region(40, 5, 49, 14, DataType.COLOUR_FLOW), strip, doppler)
    masked = mask(image)
    kept = torch.zeros(40, 60, dtype=torch.bool)
    kept[5:25, 10:30] = kept[5:15, 40:50] = True
    torch.testing.assert_close(masked[:, kept].as_tensor(), image[:, kept].as_tensor())
    assert (masked[:, ~kept].as_tensor() == torch.tensor(REFERENCE_FILL, dtype=torch.uint8)[:, None]).all()
    assert masked.meta["frame"] == 5
    only_doppler = mask(image, kinds=("doppler",), fill=(1, 2, 3))
    assert only_doppler[:, 0, 0].tolist() == [1, 2, 3]
    assert only_doppler[:2, 35, 30].tolist() == [35, 30]


@pytest.mark.parametrize("transform", [crop, mask])
@pytest.mark.parametrize("image", [frame(), frame(region(0, 0, 3, 39, DataType.GREY_BAR)), frame().as_tensor()])
def test_without_a_picture_the_banner_is_masked(transform, image):
    result = transform(image, banner_fraction=0.1, fill=(9, 8, 7))
    assert result.shape == image.shape
    assert result[:, 3, 0].tolist() == [9, 8, 7]
    assert result[0, 4, 0] == 4


def test_the_input_is_left_as_it_was():
    image = frame(region(10, 5, 49, 34))
    before = image.clone()
    mask(image)
    crop(image)
    mask(frame())
    torch.testing.assert_close(image, before)


def test_regions_follow_a_resize():
    resized = ResizeFramed("image", size=(80, 30))({"image": frame(region(10, 5, 49, 34))})["image"]
    (found,) = frame_regions(resized)
    assert (found.left, found.right, found.top, found.bottom) == (5, 24, 10, 69)
    assert found.spacing_mm == pytest.approx((0.15, 0.4))
    assert crop(resized).shape == (3, 60, 20)
