"""Decoded frames in a folder, shared by as many processes as like: what a later epoch or training need not decode."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.utils.files import atomic_path

logger = logging.getLogger(__name__)

TAG = "CACHEDIR.TAG"
"""What marks the folder as a cache, for us and for programs that make backups (bford.info/cachedir)."""

SPARE_BYTES = 1 << 30
"""What is left free on the disk, because a training has more to write than this cache."""

_OURS = "Decoded frames of fetal_monai"
_TAG_TEXT = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    f"# {_OURS} (cache_dir). Delete this folder whenever you like; it holds pictures of patients.\n"
)
_FORMAT = 1
_INSTEAD = "or leave cache_dir out"


class FrameStore:
    """Keep uint8 frames in a folder, each in a file of its own that appears whole or not at all.

    The name of a file is a digest of what its frame depends on: the source's path, size and time of change, the frame's
    number, and `recipe`. Whatever of these changes, the old file is never asked for again; nothing is deleted. A file
    is a NumPy array, (H, W, C), which is read without running any code, followed by a sum that tells damage.

    A disk that is full, or a folder that may only be read, is logged once, and no more is written.

    Args:
        folder: is made if it is not there.
        recipe: what was done to the frames since they were decoded; see `describe_transforms`.

    Raises:
        InputError: if the folder is a file, holds anything else than such a cache, or cannot be made.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> store = FrameStore(Path(folder, "cache"), recipe="as it was")
        >>> source = Path(folder, "a.dcm")
        >>> _ = source.write_bytes(b"...")
        >>> store.save(store.place(source), torch.full((3, 2, 4), 7, dtype=torch.uint8))
        >>> store.load(store.place(source)).shape
        torch.Size([3, 2, 4])
        >>> _ = source.write_bytes(b"another")
        >>> store.load(store.place(source)) is None
        True
    """

    def __init__(self, folder: str | PathLike[str], recipe: str) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.recipe = recipe
        self._writes = torch.tensor(self._claim()).share_memory_()  # what one worker finds, all know

    def place(self, source: str | PathLike[str], key: str = "image") -> Path | None:
        """Where a frame is kept as its file is now; ask before decoding, because the file may change meanwhile.

        Args:
            source: a `FrameRef`, or the path of a still.
            key: under which name the data list has it.

        Returns:
            The file, there or not; None where the source is not.
        """
        try:
            facts = os.stat(source)  # noqa: PTH116  # a FrameRef is a path, but no Path
        except OSError:
            return None
        told = [_FORMAT, self.recipe, key, str(Path(source).absolute()), getattr(source, "frame", None)]
        told += [facts.st_size, facts.st_mtime_ns]
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:40]}.npy"

    def load(self, place: Path) -> torch.Tensor | None:
        """Read a frame.

        Args:
            place: of `place`.

        Returns:
            (C, H, W) uint8 with the colours of a pixel side by side in memory; None where it is not stored, or damaged.
        """
        try:
            with place.open("rb") as file:
                return torch.from_numpy(_read(file)).permute(2, 0, 1)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as error:
            logger.warning("%s: this cached frame cannot be used (%s) and is made again", place, error)
            return None

    def save(self, place: Path, frame: torch.Tensor) -> None:
        """Store a frame, unless the disk is full or the folder may only be read.

        Args:
            place: of `place`.
            frame: (C, H, W) uint8.

        Raises:
            FetalMonaiError: if it is no such tensor.
        """
        if frame.dtype != torch.uint8 or frame.ndim != 3:
            raise FetalMonaiError(
                f"cache_dir: preprocessing makes {str(frame.dtype).removeprefix('torch.')} of shape "
                f"{tuple(frame.shape)}, and only uint8 (C, H, W) is kept on disk; move what changes the type from "
                f"preprocessing to augmentation or views, {_INSTEAD}"
            )
        if not self._writes:
            return
        try:
            if shutil.disk_usage(self.folder).free < SPARE_BYTES + frame.numel():
                raise OSError(errno.ENOSPC, f"less than {SPARE_BYTES >> 30} GiB would be left on the disk")  # noqa: TRY301
            with atomic_path(place) as temporary, temporary.open("wb") as file:
                _write(file, frame.permute(1, 2, 0).contiguous().numpy())
        except OSError as error:
            self._writes.fill_(False)
            logger.warning(
                "%s: no more frames are cached here (%s); training goes on and decodes the others in each epoch. "
                "Make room, or name another cache_dir",
                self.folder,
                error.strerror or error,
            )

    def _claim(self) -> bool:
        """Make the folder ours, or find that it is; whether it can be written to."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            others = [path.name for path in self.folder.iterdir() if not path.name.startswith(f".{Path(TAG).stem}.")]
            if TAG not in others:
                if others:
                    problem = f"it holds other things, such as '{min(others)}'; name a folder that is new or empty"
                    raise InputError(self.folder, [f"{problem}, {_INSTEAD}"])
                with atomic_path(self.folder / TAG) as temporary:
                    temporary.write_text(_TAG_TEXT, encoding="utf-8")
            elif _OURS not in (self.folder / TAG).read_text(encoding="utf-8"):
                problem = f"it is a cache of something else; name a folder that is new or empty, {_INSTEAD}"
                raise InputError(self.folder, [problem])
        except FileExistsError as error:
            problem = f"it is a file; name a folder for the cache, {_INSTEAD}"
            raise InputError(self.folder, [problem]) from error
        except (OSError, UnicodeDecodeError) as error:
            problem = (
                f"it cannot be used ({getattr(error, 'strerror', error)}); name a folder that is yours, {_INSTEAD}"
            )
            raise InputError(self.folder, [problem]) from error
        if os.access(self.folder, os.W_OK):
            return True
        logger.warning("%s: it may only be read: frames that it lacks are decoded in each epoch", self.folder)
        return False


def _write(file: BinaryIO, array: NDArray[np.uint8]) -> None:
    np.lib.format.write_array(file, array, allow_pickle=False)
    file.write(_sum(array))


def _read(file: BinaryIO) -> NDArray[np.uint8]:
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype != np.uint8 or array.ndim != 3 or file.read() != _sum(array):
        raise ValueError("it is damaged")
    return array


def _sum(array: NDArray[np.uint8]) -> bytes:
    """Sum of the 8-byte words: a tenth of the cost of a CRC, and as good against pages that were never written."""
    flat = array.reshape(-1)
    whole = flat.size // 8 * 8
    total = int(flat[:whole].view("<u8").sum(dtype=np.uint64)) + int(flat[whole:].sum(dtype=np.uint64))
    return ((total + 1) % (1 << 64)).to_bytes(8, "little")  # + 1: a file of zeros shall not look whole
