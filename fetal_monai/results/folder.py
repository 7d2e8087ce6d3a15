"""A folder of results: tables, pages, DICOM; whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

from fetal_monai.errors import InputError
from fetal_monai.inference.prediction import ModelIdentity, Prediction, ReadFailure
from fetal_monai.metrics.prediction_checks import UNKNOWN_LABEL
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.model.decisions import Decisions
from fetal_monai.model.facts import NOTICE
from fetal_monai.utils.files import write_json_lines
from fetal_monai.utils.interrupts import interrupts_afterwards

CSV_FILE = "predictions.csv"
JSON_FILE = "predictions.json"
REPORTS_FOLDER = "structured_reports"
KEY_OBJECTS_FOLDER = "key_objects"
STUDIES_FOLDER = "studies"
STUDIES_FILE = "studies.csv"
STUDY_FILE = "study.json"
PAGE_FILE = "report.html"
INDEX_FILE = "index.html"
SCHEMA_FILE = "predictions.schema.json"
STUDY_SCHEMA_FILE = "study.schema.json"
FORMAT = 1
# In the order in which they are put into place: predictions.json comes last, as a sign of completion.
_OURS = (
    *(STUDIES_FOLDER, REPORTS_FOLDER, KEY_OBJECTS_FOLDER),
    *(STUDY_FILE, PAGE_FILE, INDEX_FILE, STUDIES_FILE, CSV_FILE, JSON_FILE),
)
_OUR_FOLDERS = re.compile(rf"{STUDIES_FOLDER}(/[0-9]+)?|{REPORTS_FOLDER}|{KEY_OBJECTS_FOLDER}")
_OUR_FILES = re.compile(
    rf"{'|'.join(map(re.escape, _OURS[3:]))}"
    rf"|{STUDIES_FOLDER}/[0-9]+/({re.escape(STUDY_FILE)}|{re.escape(PAGE_FILE)})"
    rf"|({REPORTS_FOLDER}|{KEY_OBJECTS_FOLDER})/[^/]+\.dcm"
)


def to_table(predictions: Sequence[Prediction]) -> Predictions:
    """Put predictions into the table that evaluation writes, without labels.

    Args:
        predictions: one or more, of one model. Images without a SOP Instance UID go by their source.

    Returns:
        The table.

    Raises:
        InputError: if there is none, or an image is there twice.
    """
    return Predictions(
        predictions[0].class_names if predictions else (),
        [found.sop_instance_uid or _printable(found.source) for found in predictions],
        [found.frame for found in predictions],
        [UNKNOWN_LABEL] * len(predictions),
        [found.probabilities for found in predictions],
    )


def _printable(path: str) -> str:
    """A name that is no UTF-8, which a table could not hold, with backslashes for its other bytes."""
    return path.encode("utf-8", "backslashreplace").decode()


def to_json(
    predictions: Sequence[Prediction], failures: Sequence[ReadFailure], identity: ModelIdentity, decisions: Decisions
) -> dict[str, Any]:
    """Give the content of predictions.json, which `predictions.schema.json` describes.

    Args:
        predictions: of one model.
        failures: inputs that could not be read.
        identity: of the model.
        decisions: its calibration and thresholds.

    Returns:
        Plain values.
    """
    calibration, conformal = decisions.calibration, decisions.conformal
    return {
        "format": FORMAT,
        "notice": NOTICE,
        "model": asdict(identity),
        "decisions": {
            "calibration": None if calibration is None else calibration.method,
            "least_confidence": decisions.least_confidence,
            "promised_coverage": None if conformal is None else conformal.coverage,
            "ood_threshold": decisions.ood_threshold,
        },
        "class_names": list(predictions[0].class_names) if predictions else [],
        "images": [found.to_dict(with_identity=False) for found in predictions],
        "failures": [asdict(failure) for failure in failures],
    }


def read_schema(name: str = SCHEMA_FILE) -> dict[str, Any]:
    """Read the JSON schema of a file that is written here.

    Args:
        name: `SCHEMA_FILE`, of predictions.json, or `STUDY_SCHEMA_FILE`, of study.json.

    Returns:
        The schema, draft 2020-12.

    Example:
        >>> read_schema()["title"], read_schema(STUDY_SCHEMA_FILE)["title"]
        ('predictions.json of fetal_monai', 'study.json of fetal_monai')
    """
    text = resources.files("fetal_monai.results").joinpath(name).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def write_results(
    folder: Path,
    predictions: Sequence[Prediction],
    failures: Sequence[ReadFailure],
    identity: ModelIdentity,
    decisions: Decisions,
) -> None:
    """Write predictions.csv and predictions.json into a folder that `results_folder` gave.

    Args:
        folder: where to.
        predictions: one or more.
        failures: inputs that could not be read.
        identity: of the model.
        decisions: its calibration and thresholds.

    Raises:
        InputError: if there is no prediction, or an image is there twice.
        OSError: if the folder cannot be written to.
    """
    to_table(predictions).write_csv(folder / CSV_FILE)
    write_json_lines(to_json(predictions, failures, identity, decisions), folder / JSON_FILE)


def check_replaceable(out: str | PathLike[str], *, overwrite: bool) -> None:
    """Raise early if results may not go into a folder.

    Args:
        out: the folder, which need not exist.
        overwrite: whether earlier results in it may be replaced. Nothing but results is ever replaced.

    Raises:
        InputError: if it is a file, or holds something that is not to be replaced.
    """
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise InputError(path, ["is a file; name a folder to be made"])
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")] if path.exists() else []
    if entries and not overwrite:
        raise InputError(path, ["is not empty; name another folder, or use --overwrite to replace earlier predictions"])
    strangers = sorted(str(stranger.relative_to(path)) for stranger in _strangers(path, entries))
    if strangers:
        raise InputError(
            path, [f"holds other files than predictions ({', '.join(strangers[:3])}); name another folder"]
        )
    if entries and not _written_by_us(path / JSON_FILE):
        problem = f"holds no {JSON_FILE} of earlier predictions; name another folder, or delete what is in this one"
        raise InputError(path, [problem])


def _strangers(root: Path, entries: Iterable[Path]) -> Iterator[Path]:
    """What no earlier call has written: a folder `studies` may be anybody's. Hidden files are the system's own."""
    for path in entries:
        if path.name.startswith(".") and path.is_file():
            continue
        names = _OUR_FOLDERS if path.is_dir() else _OUR_FILES
        if path.is_symlink() or not names.fullmatch(path.relative_to(root).as_posix()):
            yield path
        elif path.is_dir():
            yield from _strangers(root, path.iterdir())


def _written_by_us(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"format", "notice", "model", "images"} <= content.keys()


@contextmanager
def results_folder(out: str | PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder whose content moves into `out` when the block ends without an error.

    The temporary folder is inside `out`, so that a mounted volume works as well, and a killed run leaves nothing that
    looks like a result.

    Args:
        out: the folder; made if missing.
        overwrite: replace earlier results in it.

    Yields:
        The temporary folder.

    Raises:
        InputError: as `check_replaceable`, also of what came into the folder meanwhile; or if it cannot be written to.

    Example:
        >>> out = Path(tempfile.mkdtemp(), "out")
        >>> with results_folder(out) as folder:
        ...     _ = (folder / CSV_FILE).write_text("whole")
        >>> [path.name for path in out.iterdir()]
        ['predictions.csv']
    """
    path = Path(out)
    check_replaceable(path, overwrite=overwrite)
    made = not path.exists()
    temporary: Path | None = None
    try:
        path.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".predict-", dir=path))
        fresh = temporary / "new"
        fresh.mkdir()  # unlike the temporary folder itself, as public as any other
        yield fresh
        made = False
        with interrupts_afterwards():
            try:
                check_replaceable(path, overwrite=overwrite)  # once more: such a call may take hours
            except InputError as error:
                temporary = None
                raise InputError(path, [*error.problems, f"what was to go there lies in {fresh}"]) from None
            _move(fresh, path, temporary / "old")
    except OSError as error:
        cause = error.strerror or str(error)
        problem = f"cannot be written: {cause}; make room for it or name another folder"
        if temporary is not None and any((temporary / "old").glob("*")):
            problem += f"; earlier results that could not be put back lie in {temporary / 'old'}"
            temporary = None
        raise InputError(path, [problem]) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if made and path.exists() and not any(path.iterdir()):
            path.rmdir()


def _move(fresh: Path, out: Path, old: Path) -> None:
    """Put old results aside, then the new ones in their place; if the disk refuses one, all go back."""
    old.mkdir()
    steps = [(out / name, old / name) for name in reversed(_OURS)] + [(fresh / name, out / name) for name in _OURS]
    done = list[tuple[Path, Path]]()
    try:
        for source, target in steps:
            if source.exists():
                source.rename(target)
                done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            with suppress(OSError):  # what stays is told
                target.rename(source)
        raise
