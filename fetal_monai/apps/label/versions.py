"""Which model is served: the one that labelling began with, or the best that was trained on the labels since."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path

from fetal_monai.errors import InputError
from fetal_monai.model.facts import read_facts
from fetal_monai.model.folder import WEIGHTS_FILE
from fetal_monai.utils.files import atomic_path

HISTORY_FILE = "versions.json"


@dataclass(frozen=True)
class Version:
    """One training and what came of it.

    Args:
        number: from 1; 0 is the model that labelling began with.
        val_macro_f1: of this model on the validation labels of that moment.
        served_val_macro_f1: of the model served until then, on the same labels.
        train_images: labelled frames it learnt from.
        val_images: labelled frames it was judged by.
        promoted: whether it is served since.
        finished: when, as ISO 8601 in UTC.
    """

    number: int
    val_macro_f1: float
    served_val_macro_f1: float
    train_images: int
    val_images: int
    promoted: bool
    finished: str


class ModelVersions:
    """Model folders in a workspace: every training adds one, and none is ever changed afterwards.

    `versions.json` says which of them is served. It is replaced in one step, so a killed training changes nothing, and
    the server sees a new model with the next request.

    Args:
        workspace: the folder for the versions.
        model_dir: the model folder that labelling begins with; it is only read.

    Raises:
        InputError: if the model folder is incomplete, or the workspace belongs to another model.
    """

    def __init__(self, workspace: str | PathLike[str], model_dir: str | PathLike[str]) -> None:
        self.workspace = Path(workspace)
        self.model_dir = Path(model_dir)
        self._file = self.workspace / HISTORY_FILE
        read_facts(model_dir)
        try:
            digest = hashlib.sha256((self.model_dir / WEIGHTS_FILE).read_bytes()).hexdigest()
        except OSError:
            problem = "there is no such file; the model folder is incomplete"
            raise InputError(self.model_dir / WEIGHTS_FILE, [problem]) from None
        self._first = digest
        begun_with = self._read()[0]
        if begun_with and begun_with != digest:
            problem = f"this workspace began with another model than {model_dir}; name another --workspace"
            raise InputError(self._file, [problem])

    def history(self) -> list[Version]:
        """List all finished trainings, the oldest first."""
        return self._read()[1]

    def served(self) -> int:
        """Number of the version that is served, 0 for the first model."""
        return max((version.number for version in self.history() if version.promoted), default=0)

    def folder(self, number: int) -> Path:
        """Model folder of a version."""
        return self.workspace / "model" / f"{number:04d}" if number else self.model_dir

    def start(self) -> int:
        """Make a folder for a new version.

        Returns:
            Its number; folders of killed trainings keep theirs.
        """
        taken = [int(path.name) for path in (self.workspace / "model").glob("[0-9]*") if path.name.isdigit()]
        number = max(taken, default=0) + 1
        self.folder(number).mkdir(parents=True)
        return number

    def finish(self, number: int, *, score: float, served_score: float, train_images: int, val_images: int) -> Version:
        """Record a trained version, and serve it if it is at least as good as the one served now.

        Args:
            number: from `start`.
            score: its macro F1 on the validation labels.
            served_score: that of the served model on the same labels.
            train_images: labelled frames it learnt from.
            val_images: labelled frames behind the scores.

        Returns:
            The record.
        """
        version = Version(
            number=number,
            val_macro_f1=score,
            served_val_macro_f1=served_score,
            train_images=train_images,
            val_images=val_images,
            promoted=score >= served_score,
            finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
        self._write([*self.history(), version])
        return version

    def _write(self, versions: Sequence[Version]) -> None:
        content = {"began_with_sha256": self._first, "versions": [asdict(version) for version in versions]}
        with atomic_path(self._file) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _read(self) -> tuple[str, list[Version]]:
        if not self._file.exists():
            return "", []
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            return str(content["began_with_sha256"]), [Version(**version) for version in content["versions"]]
        except (ValueError, KeyError, TypeError) as error:
            problem = f"not a history of versions ({error!r}); restore the file or name another --workspace"
            raise InputError(self._file, [problem]) from None
