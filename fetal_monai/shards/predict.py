"""What `fetal-monai predict --ray` does: a folder of any size in, Parquet out, on all cores and GPUs of a cluster."""

from __future__ import annotations

import logging
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from fetal_monai.errors import FetalMonaiError, InputError, find_user_error, first_line
from fetal_monai.inference.predictor import Predictor
from fetal_monai.results.folder import to_json
from fetal_monai.shards.journal import JOURNALS, withdraw_attempts
from fetal_monai.shards.listing import list_parts
from fetal_monai.shards.packages import package
from fetal_monai.shards.table import NOTES, Counts, claim, done_files, schema
from fetal_monai.shards.worker import PartClassifier

_TINY_BLOCK = 1  # each part travels by itself, so that Ray Data lists no further ahead than workers can take


@dataclass(frozen=True)
class ShardsSummary:
    """How a run went.

    Args:
        files: that this run did.
        there: files that were done before.
        counts: of what this run did.
        seconds: from the first file to the last, without the start of Ray and of the workers.
        unsettled: files that were listed and are not done, because the listing was disturbed: run the same again.
    """

    files: int
    there: int
    counts: Counts
    seconds: float
    unsettled: int = 0


def predict_to_shards(
    inputs: Iterable[str | PathLike[str]],
    model_dir: str | PathLike[str] | None,
    out: str | PathLike[str],
    *,
    overwrite: bool = False,
    device: str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    engine: str = "auto",
    size: int | None = None,
    progress: Callable[[int, Counts], None] | None = None,
) -> ShardsSummary:
    """Classify every frame of every file, with Ray Data.

    The numbers are those of `Predictor`. Files are listed as workers take them; each worker holds the model, reads
    frame by frame, and writes a part of the table when it is done with its files. A part that a dead worker leaves is
    done by another. What is done is passed over, so the same call goes on where another ended.

    Args:
        inputs: files and folders, as every machine of the cluster sees them.
        model_dir: the model folder, likewise; None takes the model that comes with the package.
        out: the folder of the parts, likewise; parts that are there have to be of the same model.
        overwrite: begin anew.
        device: of each worker; by default a GPU where the cluster has any.
        batch_size: see `Predictor`.
        workers: threads of each worker that decode; see `Predictor`.
        engine: of each worker; see `Predictor`.
        size: how many workers; by default as many as there are cores, or GPUs.
        progress: called with how many files are done, and what was in them.

    Returns:
        How it went. Files that cannot be read are rows with their reason.

    Raises:
        InputError: if an input does not exist, or no file is in it; or if `out` is of another model, or not ours.
        FetalMonaiError: if Ray is not installed, or no worker can do its work.
    """
    given = [os.path.abspath(item) for item in inputs]  # noqa: PTH100  # links stay as they are
    missing = [f"{path} does not exist; check the spelling" for path in given if not os.path.exists(path)]  # noqa: PTH110
    if missing:
        raise InputError("input", missing)
    content, class_names = _describe(model_dir, engine)
    schema(class_names)
    folder = claim(out, content, overwrite=overwrite).resolve()
    done = done_files(folder)
    model = None if model_dir is None else str(Path(model_dir).resolve())
    with (
        _interrupts_blame_no_file(folder / JOURNALS),
        _cluster() as ray,
        tempfile.TemporaryDirectory(prefix=NOTES, dir=folder) as notes,
    ):
        known = Path(notes) / "done.npy"
        np.save(known, done)
        gpus = int(ray.cluster_resources().get("GPU", 0))
        where = device or ("cuda" if gpus and engine in {"auto", "torch"} else "cpu")  # other engines are for CPUs
        pool = size or (gpus if where != "cpu" and gpus else int(ray.cluster_resources().get("CPU", 1))) or 1
        dataset = ray.data.from_items([{"inputs": given, "done": str(known)}]).map_batches(
            _list, batch_size=None, num_cpus=0
        )
        dataset = dataset.map_batches(
            PartClassifier,
            fn_constructor_args=(model, str(folder), where),
            fn_constructor_kwargs={"batch_size": batch_size, "workers": workers, "engine": engine},
            batch_size=None,
            num_cpus=1,
            num_gpus=1 if where != "cpu" else 0,
            compute=ray.data.ActorPoolStrategy(size=pool),  # a dead worker is made anew, its work given out again
        )
        summary = _gather(ray, dataset, len(done), progress)
    if not summary.files and not summary.there:
        raise InputError(", ".join(given), ["there is no file in it; give a folder with DICOM files or pictures"])
    with suppress(OSError):
        (folder / JOURNALS).rmdir()
    return summary


def _describe(model_dir: str | PathLike[str] | None, engine: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What identifies the model and its decisions; loading it here tells a mistake before workers start."""
    predictor = Predictor(model_dir, "cpu", engine="torch")
    content = to_json([], [], predictor.identity, predictor.decisions)
    kept = {key: value for key, value in asdict(predictor.identity).items() if key != "fetal_monai_version"}
    content["model"] = {**kept, "engine": engine}  # as asked for: machines may differ in what they have
    facts = {key: content[key] for key in ("format", "notice", "model", "decisions")}
    return {**facts, "class_names": list(predictor.class_names)}, predictor.class_names


def _list(batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts, in a process of its own; at last, how many files they hold.

    What was done is read as it was when the run began: if this is done twice, it gives the same parts.
    """
    done = np.load(str(batch["done"][0]), mmap_mode="r")
    total = 0
    for part in list_parts([str(path) for path in batch["inputs"][0]], done):
        total += len(part.files)
        yield {"part": np.array([part.to_json()], dtype=object), "total": np.array([-1])}
    yield {"part": np.array(["[0]"], dtype=object), "total": np.array([total])}


def _gather(ray: Any, dataset: Any, there: int, progress: Callable[[int, Counts], None] | None) -> ShardsSummary:
    files, total, counts, begun, ended = 0, 0, Counts(), math.inf, 0.0
    try:
        for row in dataset.iter_rows():
            begun, ended = min(begun, float(row["begun"])), max(ended, float(row["ended"]))
            files += int(row["files"])
            total = max(total, int(row["total"]))
            counts = Counts(*(have + int(row[name]) for name, have in counts._asdict().items()))
            if progress is not None:
                progress(files, counts)
    except ray.exceptions.RayError as error:
        known = find_user_error(error)
        if known is not None:
            raise known from error
        first = str(error).strip().splitlines()
        raise FetalMonaiError(
            f"Ray cannot go on: {first[-1] if first else type(error).__name__}; look at its log"
        ) from error
    return ShardsSummary(files, there, counts, max(ended - begun, 0.0), max(0, total - files))


@contextmanager
def _interrupts_blame_no_file(journals: Path) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        withdraw_attempts(journals)
        raise


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray: as the caller began it; or the cluster that RAY_ADDRESS names; or this machine alone, until the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = package("ray")
    package("ray.data")
    begun = ray.is_initialized()
    if not begun:
        alone = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
        try:
            ray.init(logging_level="ERROR", log_to_driver=False, **alone)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            reason = first_line(error)[:200]
            raise FetalMonaiError(f"Ray does not start: {reason}; look at RAY_ADDRESS, or leave it unset") from error
    context = ray.data.DataContext.get_current()
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong is told in one message, by `_gather`
    before = context.target_max_block_size, context.enable_progress_bars
    context.target_max_block_size, context.enable_progress_bars = _TINY_BLOCK, False
    try:
        with warnings.catch_warnings():  # a small archive leaves workers without work: nothing to do about it
            warnings.filterwarnings("ignore", "The minimum number of concurrent actors", UserWarning)
            yield ray
    finally:
        context.target_max_block_size, context.enable_progress_bars = before
        if not begun:
            ray.shutdown()
