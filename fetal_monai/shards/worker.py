"""A worker: holds the model, turns parts into Parquet. Ray makes one on each core or GPU, and another if it dies."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from fetal_monai.dicom import FrameRef
from fetal_monai.dicom.index import index_file
from fetal_monai.errors import InputError
from fetal_monai.inference.discover import judge, judge_named
from fetal_monai.inference.prediction import ReadFailure
from fetal_monai.inference.predictor import Predictor
from fetal_monai.shards.journal import DEATHS, JOURNALS, Journal
from fetal_monai.shards.listing import Part
from fetal_monai.shards.table import FAILED, PASSED_OVER, Counts, Row, count, row_of, row_without_image, write_part


class PartClassifier:
    """Classifies all frames of the files of a part.

    Args:
        model_dir: the model folder, as this machine sees it.
        out: where the parts go, likewise.
        device: see `Predictor`.
        batch_size: see `Predictor`.
        workers: see `Predictor`.
        engine: see `Predictor`.
    """

    def __init__(
        self,
        model_dir: str | PathLike[str] | None,
        out: str | PathLike[str],
        device: str,
        *,
        batch_size: int | None,
        workers: int | None,
        engine: str,
    ) -> None:
        self._out = Path(out)
        self._predictor = Predictor(
            model_dir, device, batch_size, workers=workers, engine=engine, throughput=True, one_of_several=True
        )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do what Ray Data hands over.

        Args:
            batch: `part`, texts of parts; and `total`, which goes through.

        Returns:
            Beside `total`, the number of `files`, when they were `begun` and `ended`, and the fields of `Counts`.
        """
        begun = time.time()
        parts = [Part.from_json(text) for text in batch["part"]]
        done = [self.do(part) if part.files else Counts() for part in parts]
        columns = {name: np.array([getattr(counts, name) for counts in done]) for name in Counts._fields}
        times = {"begun": np.full(len(parts), begun), "ended": np.full(len(parts), time.time())}
        return {"total": batch["total"], "files": np.array([len(part.files) for part in parts]), **times, **columns}

    def do(self, part: Part) -> Counts:
        """Do one part, unless it is there.

        Args:
            part: its files.

        Returns:
            What it holds.

        Raises:
            InputError: if it cannot be written.
        """
        path = self._out / part.name
        try:
            if not path.exists():
                self._write(path, part)
        except OSError as error:
            problem = f"cannot be written: {error.strerror or error}; make room for it, and run the same again"
            raise InputError(path, [problem]) from None
        return count(path)

    def _write(self, path: Path, part: Part) -> None:
        journal = Journal(self._out / JOURNALS / part.name)
        try:
            write_part(path, self._rows(part, journal), self._predictor.class_names)
        except BaseException:  # whoever can raise is alive: no file is to blame
            journal.withdraw()
            raise
        journal.close()

    def _rows(self, part: Part, journal: Journal) -> Iterator[Row]:
        if not journal.careful:
            yield from self._rows_of(list(enumerate(part.files)), part)
            return
        for number, path in enumerate(part.files):
            if number in journal.deadly:
                reason = f"{path}: {DEATHS + 1} workers died over it; look at it, and at the memory that workers have"
                yield row_without_image(path, FAILED, reason)
                continue
            journal.at(number)
            yield from self._rows_of([(number, path)], part)
            journal.after()

    def _rows_of(self, files: list[tuple[int, str]], part: Part) -> Iterator[Row]:
        """The rows of some files, whose frames share the batches of the network."""
        aside, asked = deque[Row](), deque[FrameRef]()

        def frames() -> Iterator[FrameRef]:
            for number, path in files:
                judged = judge_named(path) if number < part.named else judge(path, index_file(path))
                if isinstance(judged, ReadFailure):
                    aside.append(row_without_image(path, FAILED, judged.message))
                elif isinstance(judged, str):
                    aside.append(row_without_image(path, PASSED_OVER, judged))
                else:
                    for frame in judged.frames:
                        asked.append(frame)
                        yield frame

        for found in self._predictor.predict(frames()):
            frame = asked.popleft()  # answers come in the order of the questions
            if isinstance(found, ReadFailure):
                yield row_without_image(frame.path, FAILED, found.message, frame.frame)
            else:
                yield row_of(frame.path, found)
            while aside:
                yield aside.popleft()
        yield from aside
