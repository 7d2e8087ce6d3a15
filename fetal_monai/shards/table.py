"""A folder of predictions in Parquet: one row an image, or a file without any and why; and which model they are of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fetal_monai.errors import InputError, first_line
from fetal_monai.inference.prediction import Prediction
from fetal_monai.shards.journal import JOURNALS
from fetal_monai.shards.listing import digest, source_of
from fetal_monai.shards.packages import package
from fetal_monai.utils.files import atomic_path, write_json

MODEL_FILE = "archive.json"
NOTES = ".listing-"
"""How the folder begins in which a run keeps what was done before it."""
CLASSIFIED, FAILED, PASSED_OVER = "classified", "failed", "passed over"
"""The states of a row."""
_GROUP = 4096
Row = dict[str, Any]


class Counts(NamedTuple):
    """What a part, or all of them, hold.

    Args:
        images: that were classified.
        abstained: of these, without a label.
        failed: files and frames that could not be read.
        passed_over: files that are no ultrasound.
    """

    images: int = 0
    abstained: int = 0
    failed: int = 0
    passed_over: int = 0


def schema(class_names: Iterable[str]) -> Any:
    """Give the columns.

    Args:
        class_names: each becomes a column of probabilities.

    Returns:
        A `pyarrow.Schema`.

    Raises:
        InputError: if a class is called like another column.
    """
    arrow = package("pyarrow")
    columns = [
        ("source", arrow.string()),
        ("sop_instance_uid", arrow.string()),
        ("frame", arrow.int32()),
        ("state", arrow.string()),
        ("reason", arrow.string()),
        ("label", arrow.string()),
        ("top", arrow.string()),
        ("confidence", arrow.float64()),
        ("conformal_set", arrow.list_(arrow.string())),
        ("ood_score", arrow.float64()),
        ("out_of_distribution", arrow.bool_()),
    ]
    names = list(class_names)
    taken = sorted({name for name, _ in columns} & set(names))
    if taken:
        raise InputError("class_names", [f"{taken[0]!r} is the name of another column; train with another name for it"])
    return arrow.schema([*columns, *((name, arrow.float64()) for name in names)])


def row_of(path: str, found: Prediction) -> Row:
    """Give the row of an image.

    Args:
        path: of its file.
        found: what the model says.

    Returns:
        Column -> value.
    """
    content = found.to_dict(with_identity=False)
    probabilities = content.pop("probabilities")
    return {**content, **probabilities, "source": source_of(path), "state": CLASSIFIED}


def row_without_image(path: str, state: str, reason: str, frame: int | None = None) -> Row:
    """Give the row of a file or frame that is not classified.

    Args:
        path: of the file.
        state: `FAILED` or `PASSED_OVER`.
        reason: why, and what to do.
        frame: that could not be read; None for all of the file.

    Returns:
        Column -> value.
    """
    return {"source": source_of(path), "frame": frame, "state": state, "reason": source_of(reason)}


def write_part(path: Path, rows: Iterable[Row], class_names: Iterable[str]) -> None:
    """Write a part, whole or not at all, a few thousand rows in memory at a time.

    Args:
        path: the file.
        rows: at least one.
        class_names: of the model.

    Raises:
        OSError: if it cannot be written.
    """
    arrow, parquet = package("pyarrow"), package("pyarrow.parquet")
    columns = schema(class_names)
    rest = iter(rows)
    with (
        atomic_path(path) as temporary,
        parquet.ParquetWriter(temporary, columns, compression="zstd") as writer,
    ):
        while group := list(islice(rest, _GROUP)):
            writer.write_table(arrow.Table.from_pylist(group, schema=columns))


def count(path: Path) -> Counts:
    """Count the rows of a part.

    Args:
        path: its file.

    Returns:
        How many of each state.

    Raises:
        InputError: if it is damaged.
    """
    table = _read(path, ["state", "label"])
    states = table.column("state").to_pylist()
    labels = table.column("label").to_pylist()
    abstained = sum(state == CLASSIFIED and label is None for state, label in zip(states, labels, strict=True))
    return Counts(states.count(CLASSIFIED), abstained, states.count(FAILED), states.count(PASSED_OVER))


def done_files(out: Path) -> NDArray[np.uint64]:
    """Find what is done: eight bytes a file in memory.

    Args:
        out: the folder of the parts.

    Returns:
        Sorted digests of the sources, see `digest`.

    Raises:
        InputError: if a part is damaged.
    """
    digests = (np.fromiter(_digests(path), np.uint64) for path in sorted(out.glob("part-*.parquet")))
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *digests]))


def _digests(path: Path) -> Iterator[int]:
    return (digest(source) for source in _read(path, ["source"]).column("source").unique().to_pylist())


def _read(path: Path, columns: list[str]) -> Any:
    arrow = package("pyarrow")
    try:
        return package("pyarrow.parquet").read_table(path, columns=columns)
    except (OSError, arrow.ArrowException, KeyError) as error:
        problem = f"cannot be read ({first_line(error)[:100]}); delete it, and its files are done again"
        raise InputError(path, [problem]) from None


def claim(out: str | PathLike[str], content: dict[str, Any], *, overwrite: bool) -> Path:
    """Make a folder ours, or go on with one that is.

    Args:
        out: the folder.
        content: what identifies the model: all parts in the folder are of it.
        overwrite: whether to begin anew, without the parts that are there.

    Returns:
        The folder, without what a killed run has left: two runs at once would disturb each other.

    Raises:
        InputError: if it holds something else, or parts of another model, or cannot be written to.
    """
    folder = Path(out)
    path = folder / MODEL_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [item.name for item in folder.iterdir() if not item.name.startswith((".", "part-"))]
        if others not in ([], [MODEL_FILE]):
            stray = sorted(set(others) - {MODEL_FILE})
            raise InputError(folder, [f"holds other files ({', '.join(stray[:3])}); name another folder"])
        if not path.exists() and any(folder.glob("part-*")):
            raise InputError(
                folder, [f"holds parts without {MODEL_FILE}, and may be somebody else's; name another folder"]
            )
        if overwrite:
            for old in [*folder.glob("part-*.parquet"), path]:  # in this order, lest parts are left that are nobody's
                old.unlink(missing_ok=True)
            shutil.rmtree(folder / JOURNALS, ignore_errors=True)  # or a file that was given up would stay so
        if path.exists() and _unnamed(json.loads(path.read_text(encoding="utf-8"))) != _unnamed(content):
            problem = "holds predictions of another model; name another folder, or use --overwrite to begin anew"
            raise InputError(path, [problem])
        if not path.exists():
            write_json(content, path)
        for old in folder.glob(".part-*.parquet"):
            old.unlink()
        for old in folder.glob(f"{NOTES}*"):
            shutil.rmtree(old, ignore_errors=True)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise InputError(folder, [f"cannot be used: {cause}; name another folder"]) from None
    return folder


def _unnamed(content: Any) -> Any:
    """What must not change in a folder: a model is known by its digests, whatever versions of this software call it."""
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        return content
    return {**content, "model": {key: content["model"][key] for key in content["model"].keys() - {"name", "version"}}}
