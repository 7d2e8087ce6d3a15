"""What `fetal-monai predict --dicomweb` does: studies of an archive in, a folder of results for each out."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from pathlib import Path

from fetal_monai.dicomweb.archive import Archive, NoUltrasoundError, check_uid
from fetal_monai.dicomweb.faults import ArchiveError, ArchiveUnavailableError
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference.prediction import ModelIdentity
from fetal_monai.inference.predictor import Predictor
from fetal_monai.results.archive_index import write_archive_index
from fetal_monai.results.folder import JSON_FILE, check_replaceable
from fetal_monai.results.options import Options
from fetal_monai.results.predict_to_folder import EXPLAINED_STUDIES, Summary, predict_to_folder
from fetal_monai.study.protocol import load_protocol

Progress = Callable[[str, float, int], None]


@dataclass
class ArchiveSummary:
    """How a run went.

    Args:
        done: study -> how it went, in the order in which they were done.
        there: studies whose results were there before.
        failures: study -> why it has no results.
        without_ultrasound: studies of other modalities.
    """

    done: dict[str, Summary] = field(default_factory=dict)
    there: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    without_ultrasound: list[str] = field(default_factory=list)


def predict_from_archive(
    archive: Archive,
    studies: Sequence[str],
    predictor: Predictor,
    out: str | PathLike[str],
    options: Options | None = None,
    *,
    keep: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> ArchiveSummary:
    """Analyse studies of an archive, one on this disk at a time, each into OUT/<StudyInstanceUID>.

    Each of these folders is what `predict_to_folder` writes of the study's files; a study whose folder is complete is
    passed over. A study that fails leaves no folder, and the others go on.

    Args:
        archive: where they are.
        studies: StudyInstanceUIDs.
        predictor: the model.
        out: the folder of these folders; it gets an index of all that are in it, too.
        options: as for `predict_to_folder`; `overwrite` does studies again whose results are there.
        keep: a folder for the files, a folder for each study in it; None deletes them when a study is done. What is
            there already is not brought again.
        progress: called with (what is being done, how far, of how much).

    Returns:
        How it went.

    Raises:
        InputError: if a UID is none, a protocol is not right, or results in `out` are of another model.
        ArchiveUnavailableError: if the archive cannot be asked for anything, and no study is done.
    """
    chosen = options or Options()
    if chosen.explain is None and len(studies) > EXPLAINED_STUDIES:
        chosen = replace(chosen, explain=False)
    load_protocol(chosen.protocol, predictor.class_names)
    folders = _folders(studies, Path(out), predictor.identity, chosen)
    summary = ArchiveSummary(there=[uid for uid in dict.fromkeys(studies) if uid not in folders])
    unavailable = ""
    for number, uid in enumerate(folders, start=1):
        tell = _named(progress, f"study {number} of {len(folders)}")
        try:
            if unavailable:
                raise ArchiveError(f"not tried: {unavailable}")
            with _place(keep) as place:
                _fetch(archive, uid, place / uid, tell)
                classifying = None if tell is None else partial(tell, "classifying")
                summary.done[uid] = predict_to_folder(
                    [place / uid], predictor, folders[uid], chosen, progress=classifying
                )
        except NoUltrasoundError:
            summary.without_ultrasound.append(uid)
        except FetalMonaiError as error:
            if isinstance(error, ArchiveUnavailableError):
                if not summary.done:
                    raise
                unavailable = str(error)
            summary.failures[uid] = f"study {uid}: {error}"
    if summary.done or summary.there:
        write_archive_index(Path(out), summary.failures)
    return summary


def _folders(studies: Sequence[str], out: Path, identity: ModelIdentity, options: Options) -> dict[str, Path]:
    """Study -> the folder to make, of those that are to be done; whatever forbids one is told before anything is."""
    folders = dict[str, Path]()
    for uid in studies:
        check_uid(uid)
        folder = out / uid
        if options.overwrite or not _is_done(folder, identity):
            check_replaceable(folder, overwrite=options.overwrite)
            folders[uid] = folder
    return folders


def _is_done(folder: Path, identity: ModelIdentity) -> bool:
    """Whether the results of a study are there; predictions.json comes last."""
    path = folder / JSON_FILE
    if not path.exists():
        return False
    remedy = "name another folder, or use --overwrite to replace earlier predictions"
    try:
        model = json.loads(path.read_text(encoding="utf-8"))["model"]
        theirs = model["weights_sha256"], model["preprocessing_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(path, [f"does not tell which model it is of; {remedy}"]) from None
    if theirs != (identity.weights_sha256, identity.preprocessing_sha256):
        raise InputError(path, [f"holds predictions of another model ({theirs[0][:12]}); {remedy}"])
    return True


@contextmanager
def _place(keep: str | PathLike[str] | None) -> Iterator[Path]:
    if keep is not None:
        yield Path(keep)
        return
    try:
        temporary = tempfile.TemporaryDirectory(prefix="fetal_monai-", ignore_cleanup_errors=True)
    except OSError as error:
        problem = f"no temporary folder can be made: {error.strerror}; make room for it, or name another with TMPDIR"
        raise InputError(os.environ.get("TMPDIR", "TMPDIR"), [problem]) from error
    with temporary as folder:
        yield Path(folder)


def _fetch(archive: Archive, study: str, folder: Path, tell: Progress | None) -> None:
    instances = archive.instances(study)
    try:
        for count, instance in enumerate(instances):
            if tell is not None:
                tell("fetching", count, len(instances))
            path = folder / f"{instance.uid}.dcm"
            if not path.exists():
                archive.retrieve(instance, path)
    except OSError as error:
        cause = error.strerror or str(error)
        remedy = "make room for it, or name another folder with --keep or TMPDIR"
        raise InputError(folder, [f"cannot be written: {cause}; {remedy}"]) from error


def _named(progress: Progress | None, name: str) -> Progress | None:
    if progress is None:
        return None
    return lambda what, done, of: progress(f"{name}: {what}", done, of)
