"""What `fetal-monai predict` does: files and folders in, a folder of results out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from os import PathLike

from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference.discover import find_images
from fetal_monai.inference.prediction import ReadFailure
from fetal_monai.inference.predictor import Predictor
from fetal_monai.report.pictures import still_jpeg
from fetal_monai.report.study_explain import StudyExplainer
from fetal_monai.results.folder import check_replaceable, results_folder
from fetal_monai.results.study_folder import StudySummary, StudyWriter
from fetal_monai.study.grouping import group_studies
from fetal_monai.study.protocol import DEFAULT_PROTOCOL, load_protocol
from fetal_monai.study.study import analyse_studies

EXPLAINED_STUDIES = 20
"""In a call of more studies than these, pages come without explanations unless they are asked for: they take time."""


@dataclass(frozen=True)
class Options:
    """How to look at studies, and what to write of them.

    Args:
        protocol: name of a protocol, or a YAML file; see `load_protocol`.
        every_frame: classify every frame of clips, see `analyse_clip`.
        dicom: write a structured report and key objects per study.
        explain: put explanations (Grad-CAM) of the best frames into the pages; None where there are
            `EXPLAINED_STUDIES` or fewer.
        overwrite: replace earlier results.
    """

    protocol: str | PathLike[str] = DEFAULT_PROTOCOL
    every_frame: bool = False
    dicom: bool = False
    explain: bool | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Summary:
    """How a run went.

    Args:
        images: stills and frames of clips that the network saw.
        abstained: of these, how many have no label.
        studies: one row each.
        failures: inputs that could not be read, wholly or in part.
        passed_over: files in the folders that are no ultrasound images, or repeat one.
        reports: structured reports written.
        key_objects: selections of key objects written, of studies that have something to select.
        without_report: studies of pictures, or that name no study: no report can be filed.
        seconds: from the first image to the last result, without loading the model.
    """

    images: int
    abstained: int
    studies: tuple[StudySummary, ...]
    failures: tuple[ReadFailure, ...]
    passed_over: int
    reports: int
    key_objects: int
    without_report: int
    seconds: float


def predict_to_folder(
    inputs: Iterable[str | PathLike[str]],
    model_dir: str | PathLike[str] | Predictor | None,
    out: str | PathLike[str],
    options: Options | None = None,
    *,
    device: str | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    engine: str = "auto",
    progress: Callable[[float, int], None] | None = None,
) -> Summary:
    """Analyse the studies in files and folders, and write tables, pages and, if asked, DICOM.

    Args:
        inputs: DICOM files, PNG or JPEG pictures, folders of them.
        model_dir: the model folder; None takes the model that comes with the package. A `Predictor` is used as it is.
        out: the folder to write; see `results_folder`.
        options: how to look, and what to write; None takes the defaults.
        device: see `Predictor`.
        batch_size: see `Predictor`.
        workers: see `Predictor`.
        engine: see `Predictor`.
        progress: called with (frames done, frames in all).

    Returns:
        How it went. Inputs that cannot be read are listed there and in predictions.json; the others go on.

    Raises:
        InputError: if there is nothing to classify, nothing can be read, the model folder or the protocol is not right,
            or `out` may not be written.
        FetalMonaiError: if the device, the engine or the model cannot be used, or a report cannot be filed.
    """
    chosen = options or Options()
    check_replaceable(out, overwrite=chosen.overwrite)
    found = find_images(inputs)
    predictor = (
        model_dir
        if isinstance(model_dir, Predictor)
        else Predictor(model_dir, device, batch_size, workers=workers, engine=engine, throughput=True)
    )
    protocol = load_protocol(chosen.protocol, predictor.class_names)
    groups, unreadable = group_studies(found)
    total = len(found.frames)
    tell = None if progress is None else (lambda done: progress(done, total))
    with results_folder(out, overwrite=chosen.overwrite) as folder:
        explain = StudyExplainer(predictor) if _explains(chosen, predictor, len(groups)) else None
        writer = StudyWriter(
            folder,
            protocol,
            several=len(groups) > 1,
            failures=[*found.failures, *unreadable],
            passed_over=found.passed_over,
            dicom=chosen.dicom,
            explain=explain,
        )
        start = time.perf_counter()
        found_studies = analyse_studies(
            groups, predictor, every_frame=chosen.every_frame, workers=workers, picture=still_jpeg, progress=tell
        )
        with closing(found_studies) as studies, ThreadPoolExecutor(1, thread_name_prefix="write") as pool:
            written: Future[None] | None = None
            for study in studies:
                if written is not None:
                    written.result()  # one study is written while the next is analysed, and no more wait
                written = pool.submit(writer.add, study)
            if written is not None:
                written.result()
        writer.finish(predictor)
        seconds = time.perf_counter() - start
    return Summary(
        images=len(writer.predictions),
        abstained=sum(item.label is None for item in writer.predictions),
        studies=tuple(writer.rows),
        failures=tuple(writer.failures),
        passed_over=len(found.passed_over),
        reports=writer.reports,
        key_objects=writer.key_objects,
        without_report=writer.without_report,
        seconds=seconds,
    )


def _explains(options: Options, predictor: Predictor, studies: int) -> bool:
    """Whether pages get explanations; a network of other make, without backbones, has none to give."""
    able = any(name.startswith("backbone") for name, _ in predictor.network.named_children())
    if options.explain and not able:
        raise FetalMonaiError("the model's network has no backbone that Grad-CAM could look at; leave --explain out")
    return able and (studies <= EXPLAINED_STUDIES if options.explain is None else options.explain)
