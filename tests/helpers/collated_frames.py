"""Frames through MONAI's loaders, as a training makes them: also in a process that has done nothing else."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from monai.data import DataLoader, Dataset
from monai.transforms import Compose

from fetal_monai.dicom import FrameRef
from fetal_monai.transforms import DualResolutiond, MaskBannerd, ResizeFramed
from frame_chains import load


def chain(size=(60, 80)):
    views = DualResolutiond("image", detailed_size=(32, 32), shallow_size=(16, 16))
    return Compose([load(), ResizeFramed("image", size=size), MaskBannerd("image"), views])


def collated(clip, still, method):
    """What a batch of two looks like that one worker has made: the shapes of its views, its frames, its regions."""
    items = [{"image": FrameRef(clip, 1), "label": 0}, {"image": FrameRef(still), "label": 1}]
    loader = DataLoader(Dataset(items, chain()), batch_size=2, num_workers=1, multiprocessing_context=method)
    (batch,) = loader
    meta = batch["image"].meta
    shapes = tuple(batch["image"].shape), tuple(batch["image_shallow"].shape)
    return shapes, [int(frame) for frame in meta["frame"]], len(meta["regions"])


def collated_elsewhere(clip, still, method):
    """The same in a fresh process: a fork of one that has run servers, browsers and engines may inherit their locks."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(collated, clip, still, method).result()
