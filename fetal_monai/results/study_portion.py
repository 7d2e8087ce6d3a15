"""Some studies of many, analysed and written: what one process does of a call, and helpers beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference.prediction import ModelIdentity
from fetal_monai.inference.predictor import Predictor
from fetal_monai.report.pictures import still_jpeg
from fetal_monai.report.study_explain import StudyExplainer
from fetal_monai.results.options import Options
from fetal_monai.results.study_folder import StudyWriter, WrittenStudy
from fetal_monai.study.grouping import StudyFiles
from fetal_monai.study.protocol import load_protocol
from fetal_monai.study.study import analyse_studies
from fetal_monai.utils.helper_process import tell_main_process
from fetal_monai.utils.thread_pool import thread_pool

Portion = Sequence[tuple[int, StudyFiles]]
"""Studies with their numbers."""

_LEAST_FRAMES = 12
"""A portion is of so many frames or more: its last batch may be small, and is waited for."""


@dataclass(frozen=True)
class HelpWanted:
    """What a helper has to know to analyse studies as the process does that asks for help.

    Args:
        folder: where to write, as `StudyWriter` takes it.
        options: how to look, and what to write.
        identity: of the model, its engine among it, as the process that asks has it.
        running: arguments of `predictor_of_helper`.
        directory: where that process is; paths are as seen from there.
    """

    folder: Path
    options: Options
    identity: ModelIdentity
    running: tuple[Any, ...]
    directory: Path


def portions_of(studies: Sequence[StudyFiles], processes: int) -> list[Portion]:
    """Part studies so that several processes that take one portion after another are done at about the same time.

    Args:
        studies: in their order.
        processes: how many will work; one takes all at once.

    Returns:
        Portions in the order of the studies, large ones first: each has a quarter of a process's share of what is left.
        They do not depend on who is how fast; so neither do batches, nor the last digits of what comes of them.

    Example:
        >>> studies = [StudyFiles(f"study {k}", None, tuple(f"{k}-{n}.dcm" for n in range(10))) for k in range(12)]
        >>> [[number for number, _ in portion] for portion in portions_of(studies, 2)]
        [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]]
        >>> len(portions_of(studies, 1))
        1
    """
    numbered = list(enumerate(studies, start=1))
    if processes == 1:
        return [numbered]
    left = sum(frames_of(files) for files in studies)
    portions = list[Portion]()
    portion = list[tuple[int, StudyFiles]]()
    frames = 0
    for number, files in numbered:
        portion.append((number, files))
        frames += frames_of(files)
        if frames >= max(_LEAST_FRAMES, left / (4 * processes)):
            portions.append(portion)
            left -= frames
            portion, frames = [], 0
    return [*portions, portion] if portion else portions


def frames_of(files: StudyFiles) -> int:
    """Count the frames of a study.

    Args:
        files: of the study.
    """
    return len(files.stills) + sum(files.clips.values())


def write_portion(
    portion: Portion,
    predictor: Predictor,
    writer: StudyWriter,
    options: Options,
    *,
    progress: Callable[[float], None] | None = None,
) -> list[WrittenStudy]:
    """Analyse studies and write each while the next is analysed, or before it where the predictor has no threads.

    Args:
        portion: the studies.
        predictor: the model.
        writer: writes them.
        options: how to look at them.
        progress: called with the number of frames done of the portion.

    Returns:
        What was written, in the order of the portion.

    Raises:
        FetalMonaiError: as `StudyWriter` does.
        OSError: likewise.
    """
    analysed = analyse_studies(
        [files for _, files in portion],
        predictor,
        every_frame=options.every_frame,
        picture=still_jpeg,
        progress=progress,
    )
    done = list[WrittenStudy]()
    with closing(analysed) as studies, thread_pool(min(predictor.workers, 1), "write") as pool:
        written: Future[WrittenStudy] | None = None
        for (number, _), study in zip(portion, studies, strict=True):
            if written is not None:
                done.append(written.result())  # one study is written while the next is analysed, and no more wait
            written = pool.submit(writer.write, number, study)
        if written is not None:
            done.append(written.result())
    return done


def help_with(wanted: HelpWanted, portion: Portion) -> list[WrittenStudy]:
    """Analyse and write studies in a helper.

    Args:
        wanted: how.
        portion: the studies.

    Returns:
        What was written.

    Raises:
        FetalMonaiError: as `write_portion` does, or if the helper's engine is another.
        OSError: likewise.
    """
    os.chdir(wanted.directory)
    predictor, writer = _prepared(wanted)
    told = 0.0

    def tell(done: float) -> None:
        nonlocal told
        tell_main_process(done - told)
        told = done

    return write_portion(portion, predictor, writer, wanted.options, progress=tell)


@lru_cache(maxsize=1)
def _prepared(wanted: HelpWanted) -> tuple[Predictor, StudyWriter]:
    predictor = predictor_of_helper(*wanted.running)
    mine, theirs = predictor.identity, wanted.identity
    if replace(mine, engine=theirs.engine) != theirs:
        raise FetalMonaiError("the helpers have another model than the process that they help; give both the same")
    if mine != theirs:
        raise FetalMonaiError(
            f"one process classifies by {theirs.engine}, another by {mine.engine}: name an engine that each can use, "
            "or use one process"
        )
    protocol = load_protocol(wanted.options.protocol, predictor.class_names)
    explain = StudyExplainer(predictor) if wanted.options.explain else None
    writer = StudyWriter(wanted.folder, protocol, several=True, dicom=wanted.options.dicom, explain=explain)
    return predictor, writer


@lru_cache(maxsize=1)
def predictor_of_helper(  # noqa: PLR0917  # by their order, as they come from another process
    model_dir: str | PathLike[str],
    device: str | None,
    batch_size: int | None,
    workers: int | None,
    engine: str,
    threads: int,
) -> Predictor:
    """Load the model in a helper, once.

    Args:
        model_dir: see `Predictor`.
        device: likewise.
        batch_size: likewise.
        workers: likewise.
        engine: likewise.
        threads: of PyTorch.

    Returns:
        The predictor.
    """
    torch.set_num_threads(threads)
    predictor = Predictor(
        model_dir, device, batch_size, workers=workers, engine=engine, throughput=True, one_of_several=True
    )
    blank = np.zeros((3, 8, 8), np.uint8)
    list(predictor.predict([blank] * predictor.batch_size))  # engines compile what they run when they first run it
    return predictor
