"""The views of a frame: without its metadata they are the same where the transforms look at pixels alone, or at regions
that it has not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.transforms import Compose

from fetal_monai.dicom import index_dicom
from fetal_monai.inference.inputs import Run, decode_run
from fetal_monai.inference.views import loaded_image, metadata_for, prepare
from fetal_monai.transforms import CropToRegiond, DualResolutiond, MaskBannerd, MaskOutsideRegionsd, ResizeFramed

VIEWS = DualResolutiond("image", detailed_size=(48, 64), shallow_size=(32, 32), shallow_from="detailed")


class Named(ResizeFramed):
    """Somebody's own, which may look at anything."""


@pytest.fixture(scope="module")
def frame(phantom):
    entry = next(entry for entry in index_dicom(phantom).values() if entry.frames == 1)
    (frame,) = decode_run(Run(entry.path))
    assert frame.meta["regions"]
    return frame


@given(
    base=st.tuples(st.integers(20, 300), st.integers(20, 400)),
    only_shrink=st.booleans(),
    fraction=st.floats(0, 0.5),
)
def test_transforms_of_pixels_alone_make_the_same_views_without_metadata(frame, base, only_shrink, fraction):
    steps = [ResizeFramed("image", size=base, only_shrink=only_shrink), MaskBannerd("image", fraction=fraction), VIEWS]
    chain = Compose(steps)
    assert metadata_for(chain, frame.meta) is None
    pixels = torch.from_numpy(frame.pixels)
    plain, carried = (prepare(chain, loaded_image(pixels, meta)) for meta in (None, frame.meta))
    assert plain.keys() == carried.keys() == {"image", "image_shallow"}
    for name, view in plain.items():
        assert type(view) is type(carried[name]) is torch.Tensor
        assert torch.equal(view, carried[name])


OF_REGIONS = [CropToRegiond("image"), MaskOutsideRegionsd("image")]


@pytest.mark.parametrize("step", [*OF_REGIONS, Named("image", size=(60, 80)), lambda data: data])
def test_any_other_transform_gets_them(frame, step):
    assert metadata_for(Compose([step, VIEWS]), frame.meta) is frame.meta


@pytest.mark.parametrize("step", OF_REGIONS)
def test_frames_without_regions_need_none_to_be_cropped_or_masked(frame, step):
    chain, meta = Compose([step, VIEWS]), {**frame.meta, "regions": "[]"}
    assert metadata_for(chain, meta) is None
    pixels = torch.from_numpy(frame.pixels)
    plain, carried = (prepare(chain, loaded_image(pixels, given)) for given in (None, meta))
    for name, view in plain.items():
        assert torch.equal(view, carried[name])
    assert metadata_for(Compose([step, lambda data: data]), meta) is meta  # somebody's own may look at anything
