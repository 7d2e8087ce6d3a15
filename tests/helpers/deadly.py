"""Workers that die: what a test tells them, in files, for they live in processes of their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from fetal_monai.shards.worker import PartClassifier, index_file


def notice(path: str) -> object:
    """Before a file is read: write down who does it; die if the file's name says so."""
    folder = Path(path).parents[1] / "seen"
    folder.mkdir(exist_ok=True)
    with (folder / str(os.getpid())).open("a") as file:
        file.write(f"{Path(path).name}\n")
    if "deadly" in Path(path).name:
        os.kill(os.getpid(), signal.SIGKILL)
    once = folder / "once"
    if "once" in Path(path).name and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return index_file(path)


class WatchedClassifier(PartClassifier):
    """Does its work, and notes each file."""

    def __init__(self, *arguments: object, **options: object) -> None:
        import fetal_monai.shards.worker as module  # noqa: PLC0415

        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        module.index_file = notice  # type: ignore[assignment]
