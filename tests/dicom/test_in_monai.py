"""The reader where MONAI puts it: loaders of every kind, workers forked and spawned, caches in memory and on disk."""

import pickle
import sys

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset, MetaTensor, PersistentDataset, ThreadDataLoader
from monai.transforms import LoadImage

from collated_frames import chain, collated_elsewhere
from fetal_monai.dicom import FrameRef, UltrasoundReader, iter_frames, read_frame
from fetal_monai.errors import DicomReadError
from frame_chains import load


@pytest.fixture
def clip(kit, tmp_path):
    return str(kit.write(tmp_path / "clip.dcm", kit.frames(4), photometric="RGB"))


@pytest.fixture
def still(kit):
    return str(kit.real("examples_palette.dcm"))


def test_load_imaged_gives_a_meta_tensor(clip):
    image = load()({"image": FrameRef(clip, 2)})["image"]
    assert isinstance(image, MetaTensor)
    assert (image.shape, image.dtype) == ((3, 48, 64), torch.uint8)
    np.testing.assert_array_equal(image.numpy(), list(iter_frames(clip))[2])
    assert image.meta["frame"] == 2
    assert image.meta["original_channel_dim"] == 0
    assert list(image.meta["spatial_shape"]) == [48, 64]
    assert image.meta["filename_or_obj"].endswith("clip.dcm#2")


@pytest.mark.parametrize(
    "wrap", [str, lambda name: FrameRef(name, 0), lambda name: [name], lambda name: (FrameRef(name),)]
)
def test_addresses_of_all_kinds(still, wrap):
    np.testing.assert_array_equal(load()({"image": wrap(still)})["image"].numpy(), read_frame(still))


def test_by_name_by_class_and_with_monais_defaults(still):
    for reader in ("fetal_monai.dicom.UltrasoundReader", UltrasoundReader):
        image = LoadImage(reader=reader)(still)
        assert image.dtype == torch.float32
        np.testing.assert_array_equal(image.numpy(), read_frame(still))


def test_two_files_for_one_image_are_refused(still):
    with pytest.raises(DicomReadError, match="several files"):
        load()({"image": [still, still]})


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_data_loader_workers_collate_clips_and_stills(clip, still, method):
    if method == "fork" and sys.platform == "win32":
        pytest.skip("Windows cannot fork")
    shapes, frames, regions = collated_elsewhere(clip, still, method)
    assert shapes == ((2, 3, 32, 32), (2, 3, 16, 16))
    assert frames == [1, -1]
    assert regions == 2


def test_an_error_in_a_worker_names_the_file(clip):
    loader = DataLoader(Dataset([{"image": FrameRef(clip, 99)}], load()), num_workers=1)
    with pytest.raises(Exception, match=r"clip\.dcm, frame 99: there is no such frame: the file has 4"):
        list(loader)


def test_threads(clip):
    items = [{"image": FrameRef(clip, frame)} for frame in range(4)]
    loader = ThreadDataLoader(Dataset(items, load()), batch_size=2, num_workers=2, use_thread_workers=True)
    together = torch.cat([batch["image"].as_tensor() for batch in loader])
    np.testing.assert_array_equal(together.numpy(), np.stack(list(iter_frames(clip))))


def test_caches_in_memory_and_on_disk(clip, still, tmp_path):
    items = [{"image": FrameRef(clip, frame)} for frame in range(2)] + [{"image": FrameRef(still)}]
    plain = [item["image"] for item in Dataset(items, chain())]
    cached = CacheDataset(items, chain(), num_workers=2, progress=False)
    for _ in range(2):
        persistent = PersistentDataset(items, chain(), cache_dir=tmp_path / "cache")
        for one, two, three in zip(plain, cached, persistent, strict=True):
            torch.testing.assert_close(one, two["image"])
            torch.testing.assert_close(one, three["image"])
            assert two["image"].meta["SOPInstanceUID"]  # PersistentDataset keeps plain tensors unless told otherwise
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 3


def test_it_can_be_pickled(still):
    for reader in (UltrasoundReader(), UltrasoundReader(isolated=True)):
        again = pickle.loads(pickle.dumps(reader))
        assert again.get_data(again.read(still))[0].shape == (3, 350, 800)
