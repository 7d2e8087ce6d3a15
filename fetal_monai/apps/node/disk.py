"""What has to be on the disk before somebody is told so; and who may use a storage folder."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from fetal_monai.errors import InputError
from fetal_monai.utils.closing import Closing

LOCK_FILE = "node.lock"


def sync(path: Path) -> None:
    """Have the content of a file, or the names in a folder, on the disk.

    Args:
        path: of it.

    Raises:
        OSError: if that fails.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class StorageLock(Closing):
    """The right to be the node of a storage folder; it ends with the process, however that ends.

    It is SQLite's own exclusive lock, on a file of its own: it works wherever the queue does.

    Args:
        storage: the folder; made if missing.

    Raises:
        InputError: if another node has it, or it cannot be written to.
    """

    def __init__(self, storage: Path) -> None:
        try:
            storage.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(storage / LOCK_FILE, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise InputError(storage, [f"cannot be used ({error}); name another folder by --storage"]) from None
        try:
            self._db.execute("PRAGMA journal_mode = DELETE")
            self._db.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            self._db.close()
            if "locked" not in str(error):
                raise InputError(storage, [f"cannot be used ({error}); name another folder by --storage"]) from None
            raise InputError(storage, ["another node is using it; stop that one, or name another folder"]) from None

    def close(self) -> None:
        """Give it back."""
        self._db.close()
