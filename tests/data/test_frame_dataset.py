"""The caches change how long an epoch takes, and nothing of what comes out of it."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from fetal_monai.data import FrameDataset
from fetal_monai.dicom import FrameRef, UltrasoundReader
from fetal_monai.errors import find_user_error
from frame_chains import assert_same, chain, epochs, items, prefix

__all__ = ["items"]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_epochs_are_the_same_with_and_without_caches(items, tmp_path, workers):
    """Without: MONAI's own chain; the second epoch of each cache comes out of it, the last ones from a former run."""
    plain = epochs(items, workers)
    half = epochs(items, workers, cache_rate=0.5)
    disk = [epochs(items, workers, cache_dir=tmp_path / "cache") for _ in range(2)]
    both = epochs(items, workers, cache_dir=tmp_path / "cache", cache_rate=0.5)
    for cached in (half, *disk, both):
        assert_same(plain, cached)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == len(items)


def test_items_are_what_the_chain_alone_makes(items):
    transform = chain()
    frames = FrameDataset(items, transform, kept=3, cache_rate=0.5, progress=False)
    for index in (0, 9, -1):
        transform.set_random_state(index % 7)
        expected = transform(dict(items[index]))
        transform.set_random_state(index % 7)
        found = frames[index]
        assert found.keys() == expected.keys()
        assert torch.equal(found["image"], expected["image"].as_tensor())
        assert torch.equal(found["image_shallow"], expected["image_shallow"])


def test_nothing_is_decoded_a_second_time(items, tmp_path, monkeypatch):
    epochs(items, cache_dir=tmp_path, count=1)
    monkeypatch.setattr(UltrasoundReader, "get_data", None)
    assert len(epochs(items, cache_dir=tmp_path)) == 8
    with pytest.raises(RuntimeError):
        epochs(items)


def test_a_corrected_label_is_used_at_once(items, tmp_path):
    FrameDataset(items, chain(), kept=3, cache_dir=tmp_path, progress=False)[0]
    corrected = [{**items[0], "label": 99}]
    assert FrameDataset(corrected, chain(), kept=3, cache_dir=tmp_path, progress=False)[0]["label"] == 99


def test_random_transforms_are_never_kept(items):
    frames = FrameDataset(items[:1], chain(), kept=6, cache_rate=1.0, progress=False)
    assert frames.kept == 3
    assert len({frames[0]["image"].sum().item() for _ in range(20)}) > 1


def test_a_missing_file_is_named_as_without_a_cache(tmp_path):
    frames = FrameDataset(
        [{"image": FrameRef(str(tmp_path / "gone.dcm"))}], chain(), kept=3, cache_dir=tmp_path / "cache", progress=False
    )
    with pytest.raises(RuntimeError) as caught:
        frames[0]
    assert str(find_user_error(caught.value)).startswith(f"{tmp_path / 'gone.dcm'}: ")


def test_metadata_end_with_the_frames(items):
    assert isinstance(Compose(prefix())(dict(items[0]))["image"], MetaTensor)
    assert type(FrameDataset(items, chain(), kept=3)[0]["image"]) is torch.Tensor
