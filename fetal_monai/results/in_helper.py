"""What a helper of `predict_to_folder` does in its own process: load the same model, then portions of the studies."""

from __future__ import annotations

import os
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
from fetal_monai.report.study_explain import StudyExplainer
from fetal_monai.results.options import Options
from fetal_monai.results.study_folder import StudyWriter, WrittenStudy
from fetal_monai.results.study_portion import Portion, write_portion
from fetal_monai.study.protocol import load_protocol
from fetal_monai.utils.helper_process import tell_main_process


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
