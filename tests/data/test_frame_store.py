"""The cache on disk holds what it is asked for and nothing else; damage, a full disk or a folder of others is told."""

from __future__ import annotations

import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose, Lambdad, LoadImaged, ScaleIntensityd

from fetal_monai.data import FrameDataset
from fetal_monai.data import frame_store as module
from fetal_monai.data.frame_store import TAG, FrameStore
from fetal_monai.data.transform_records import describe_transforms
from fetal_monai.dicom import FrameRef, Limits, UltrasoundReader
from fetal_monai.errors import FetalMonaiError, InputError
from frame_chains import assert_same, chain, epochs, items, load, prefix

__all__ = ["items"]


class Sized(LoadImaged):
    """Adds to an item what is no frame."""

    def __call__(self, data, reader=None):
        result = super().__call__(data, reader)
        return {**result, "size": tuple(result["image"].shape)}


def ours(caplog) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name.startswith("fetal_monai")]


OTHERS = {
    "size": prefix(size=(90, 120)),
    "banner": prefix(fraction=0.2),
    "limits": prefix(limits=Limits(max_frames=7)),
    "one less": prefix()[:2],
    "another order": [prefix()[0], *prefix()[:0:-1]],
}


@pytest.mark.parametrize("other", OTHERS)
def test_other_preprocessing_is_another_cache(items, tmp_path, other):
    epochs(items[:3], cache_dir=tmp_path, count=1)
    first = OTHERS[other]
    changed = FrameDataset(items[:3], chain(first), kept=len(first), cache_dir=tmp_path, progress=False)
    assert changed.store is not None
    assert changed.store.load(changed.store.place(items[0]["image"])) is None
    same = FrameStore(tmp_path, describe_transforms(prefix()))
    assert same.load(same.place(items[0]["image"])) is not None


def test_another_version_of_a_decoder_is_another_cache(monkeypatch):
    before = describe_transforms(prefix())
    assert before == describe_transforms(prefix(isolated=True)), "where it is decoded is no matter"
    monkeypatch.setattr("importlib.metadata.version", lambda package: f"{package} 0")
    assert before != describe_transforms(prefix())


def test_a_file_that_changes_is_decoded_again(phantom, items, tmp_path):
    """Also between two epochs, and where its size stays the same."""
    still = next(item for item in items if item["frame"] == -1)
    path = Path(shutil.copy(still["image"].path, tmp_path / "a.dcm"))
    frames = FrameDataset(
        [{"image": FrameRef(str(path))}], Compose(prefix()), kept=3, cache_dir=tmp_path / "cache", progress=False
    )
    before = frames[0]["image"]
    data = pydicom.dcmread(next(other for other in items if other["frame"] == -1 and other is not still)["image"].path)
    data.save_as(path)
    os.utime(path, ns=(1, 1))
    assert not torch.equal(before, frames[0]["image"])
    stamped = frames[0]["image"]
    os.utime(path, ns=(2, 2))
    assert torch.equal(stamped, frames[0]["image"])
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 3


def test_frames_of_one_clip_do_not_stand_in_for_each_other(items, tmp_path):
    clip = [item for item in items if item["frame"] >= 0][:3]
    epochs(clip, cache_dir=tmp_path, count=1)
    assert_same(epochs(clip), epochs(clip, cache_dir=tmp_path))
    assert len(list(tmp_path.rglob("*.npy"))) == 3


@pytest.mark.parametrize("damage", ["cut off", "empty", "zeros", "one bit", "a pickle"])
def test_a_damaged_file_is_made_again(items, tmp_path, damage, caplog):
    plain = epochs(items[:1])
    epochs(items[:1], cache_dir=tmp_path, count=1)
    (path,) = tmp_path.rglob("*.npy")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[5000] ^= 16
    damaged = {"cut off": whole[:-4000], "empty": b"", "zeros": bytes(len(whole)), "one bit": bytes(flipped)}
    if damage == "a pickle":
        np.save(path, np.array([items[0]], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(damaged[damage])
    assert_same(plain, epochs(items[:1], cache_dir=tmp_path))
    assert "is made again" in caplog.text
    assert path.read_bytes() == whole


def test_processes_may_share_a_folder(items, tmp_path):
    """Several at once, none of which finds a frame stored: whoever comes last replaces a file by its equal."""
    plain = epochs(items[:4], count=1)
    options: dict[str, Any] = {"kept": 3, "progress": False, "cache_dir": tmp_path / "new"}
    with ThreadPoolExecutor(4) as pool:  # no longer there when processes are forked
        frames = list(pool.map(lambda _: FrameDataset(items[:4], chain(), **options), range(4)))
    started = [iter(DataLoader(frames, batch_size=4, num_workers=1)) for frames in frames]  # a process of its own each
    for run in started:
        assert [batch["label"].tolist() for batch in run] == [[0, 1, 2, 3]]
    files = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
    assert len(files) == 4 + 1, "no temporary files are left"
    assert_same(plain, epochs(items[:4], count=1, cache_dir=tmp_path / "new"))


def test_a_full_disk_is_named_once_and_training_goes_on(items, tmp_path, caplog, monkeypatch):
    plain = epochs(items)
    monkeypatch.setattr(module, "SPARE_BYTES", 1 << 62)
    assert_same(plain, epochs(items, cache_dir=tmp_path))
    (record,) = ours(caplog)
    assert record.levelno == logging.WARNING
    assert f"{tmp_path}: no more frames are cached here" in record.message
    assert "training goes on" in record.message
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [TAG]


def test_a_full_disk_is_named_once_by_all_workers(items, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SPARE_BYTES", 1 << 62)
    handler = logging.FileHandler(tmp_path / "log")  # what forked workers log, too
    module.logger.addHandler(handler)
    try:
        frames = FrameDataset(items, chain(), kept=3, progress=False, cache_dir=tmp_path / "cache")
        for _ in range(2):
            list(DataLoader(frames, batch_size=5, num_workers=2, multiprocessing_context="fork"))
    finally:
        module.logger.removeHandler(handler)
        handler.close()
    said = (tmp_path / "log").read_text().count("no more frames are cached here")
    assert 1 <= said <= 2, "two workers may find it at the same moment"


def test_a_disk_that_fills_while_a_frame_is_written_leaves_nothing_of_it(items, tmp_path, caplog, monkeypatch):
    def write_half(file, array):
        file.write(array.tobytes()[:1000])
        raise OSError(28, "No space left on device")

    plain = epochs(items)
    monkeypatch.setattr(module, "_write", write_half)
    assert_same(plain, epochs(items, cache_dir=tmp_path))
    assert len(ours(caplog)) == 1
    assert "No space left on device" in caplog.text
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [TAG]


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        FrameStore(folder, "")
    assert "or leave cache_dir out" in str(caught.value)
    return str(caught.value)


def test_a_folder_that_belongs_to_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("...")
    assert "it holds other things, such as 'thesis.tex'; name a folder that is new" in refusal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    other = tmp_path / "other"
    other.mkdir()
    (other / TAG).write_text("Signature: 8a477f597d28d172789f06886806bc55\n# of pip\n")
    assert "it is a cache of something else" in refusal(other)
    assert "it is a file" in refusal(tmp_path / "thesis.tex")
    assert "it cannot be used" in refusal(tmp_path / "thesis.tex" / "cache")


def test_a_folder_without_the_right_to_write_is_read(items, tmp_path, caplog, monkeypatch):
    plain = epochs(items)
    epochs(items[:5], cache_dir=tmp_path, count=1)
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    assert_same(plain, epochs(items, cache_dir=tmp_path))
    (record,) = ours(caplog)
    assert record.message == f"{tmp_path}: it may only be read: frames that it lacks are decoded in each epoch"
    assert len(list(tmp_path.rglob("*.npy"))) == 5


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    def deny(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", deny)
    assert "it cannot be used (Permission denied); name a folder that is yours" in refusal(tmp_path / "new")


def test_only_frames_are_kept_on_disk(items, tmp_path):
    scaled = Compose([load(), ScaleIntensityd("image")])
    with pytest.raises(FetalMonaiError, match=r"preprocessing makes float32 of shape \(3, 240, 320\), and only uint8"):
        FrameDataset(items, scaled, kept=2, cache_dir=tmp_path, progress=False)[0]
    in_memory = FrameDataset(items[:1], scaled, kept=2, cache_rate=1.0, progress=False)
    assert torch.equal(in_memory[0]["image"], scaled(items[0])["image"].as_tensor())


def test_a_chain_that_adds_to_the_items_is_refused_on_disk(items, tmp_path):
    chain = Compose([Sized("image", reader=UltrasoundReader(), dtype=np.uint8, expanduser=False)])
    with pytest.raises(FetalMonaiError, match="preprocessing adds size to an item"):
        FrameDataset(items, chain, kept=1, cache_dir=tmp_path, progress=False)[0]
    assert FrameDataset(items[:1], chain, kept=1, cache_rate=1.0, progress=False)[0]["size"] == (3, 240, 320)


def test_what_cannot_be_told_apart_is_refused_on_disk(items, tmp_path):
    darker = Compose([load(), Lambdad("image", func=lambda frame: frame // 2)])
    with pytest.raises(FetalMonaiError, match=r"a cache on disk cannot tell whether it is still the same.*cache_dir"):
        FrameDataset(items, darker, kept=2, cache_dir=tmp_path, progress=False)
    assert FrameDataset(items[:1], darker, kept=2, cache_rate=1.0, progress=False)[0]["image"].max() < 128
