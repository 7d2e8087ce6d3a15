"""What `fetal-monai predict` does: files and folders in, a folder of results out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from os import PathLike
from pathlib import Path

import torch

from fetal_monai.errors import FetalMonaiError
from fetal_monai.inference.discover import find_images
from fetal_monai.inference.prediction import ReadFailure
from fetal_monai.inference.predictor import Predictor
from fetal_monai.report.study_explain import StudyExplainer
from fetal_monai.results.all_studies import AllStudies
from fetal_monai.results.folder import check_replaceable, results_folder
from fetal_monai.results.in_helper import HelpWanted, help_with
from fetal_monai.results.options import Options
from fetal_monai.results.study_folder import StudySummary, StudyWriter, WrittenStudy
from fetal_monai.results.study_portion import Portion, frames_of, portions_of, write_portion
from fetal_monai.study.grouping import group_studies
from fetal_monai.study.protocol import load_protocol
from fetal_monai.utils.helper_processes import HelperProcesses

EXPLAINED_STUDIES = 20
"""In a call of more studies than these, pages come without explanations unless they are asked for: they take time."""


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
    workers: int | None = None,
    engine: str = "auto",
    helpers: HelperProcesses | None = None,
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
        workers: see `Predictor`, in each process.
        engine: see `Predictor`.
        helpers: processes that take studies off this one, as `start_helpers` makes them, where there are enough of
            them; this one takes what they leave of PyTorch's threads.
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
    groups, unreadable = group_studies(found)
    portions = portions_of(groups, 1 if helpers is None else 1 + helpers.count)
    if len(portions) <= 1:
        helpers = None  # there is nothing to share
    with _share_of_threads(helpers):
        predictor = (
            model_dir
            if isinstance(model_dir, Predictor)
            else Predictor(
                model_dir,
                device,
                batch_size,
                workers=workers,
                engine=engine,
                throughput=True,
                one_of_several=helpers is not None,
            )
        )
        protocol = load_protocol(chosen.protocol, predictor.class_names)
        chosen = replace(chosen, explain=_explains(chosen, predictor, len(groups)))
        outside, several = [*found.failures, *unreadable], len(groups) > 1
        with results_folder(out, overwrite=chosen.overwrite) as folder:
            writer = StudyWriter(
                folder,
                protocol,
                several=several,
                failures=outside,
                passed_over=found.passed_over,
                dicom=chosen.dicom,
                explain=StudyExplainer(predictor) if chosen.explain else None,
            )
            start = time.perf_counter()
            work = partial(write_portion, predictor=predictor, writer=writer, options=chosen)
            here = _Here(work, len(found.frames), helpers, progress)
            if helpers is None:
                written = [here(portion) for portion in portions]
            else:
                wanted = HelpWanted(folder, chosen, predictor.identity, helpers.arguments, Path.cwd())
                written = helpers.share(partial(help_with, wanted), portions, here, meanwhile=here.tell)
            studies = AllStudies(folder, several=several, failures=outside, passed_over=found.passed_over)
            for study in chain.from_iterable(written):
                studies.add(study)
            studies.finish(predictor)
            seconds = time.perf_counter() - start
    return Summary(
        images=len(studies.predictions),
        abstained=sum(item.label is None for item in studies.predictions),
        studies=tuple(studies.rows),
        failures=tuple(studies.failures),
        passed_over=len(found.passed_over),
        reports=len(studies.reports),
        key_objects=len(studies.key_objects),
        without_report=studies.without_report,
        seconds=seconds,
    )


@contextmanager
def _share_of_threads(helpers: HelperProcesses | None) -> Iterator[None]:
    """Leave to helpers as many of PyTorch's threads as `start_helpers` gave them."""
    if helpers is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - helpers.count * (before // (helpers.count + 1))))
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Here:
    """What this process does, portion by portion, and how far the whole is."""

    def __init__(
        self,
        work: Callable[..., list[WrittenStudy]],
        total: int,
        helpers: HelperProcesses | None,
        progress: Callable[[float, int], None] | None,
    ) -> None:
        self._work = work
        self._total = total
        self._helpers = helpers
        self._progress = progress
        self._done = 0

    def __call__(self, portion: Portion) -> list[WrittenStudy]:
        written = self._work(portion, progress=self.tell)
        self._done += sum(frames_of(files) for _, files in portion)
        return written

    def tell(self, of_portion: float = 0) -> None:
        """Tell how many frames are done, by helpers, too."""
        if self._progress is not None:
            helped = 0.0 if self._helpers is None else self._helpers.told
            self._progress(min(self._done + of_portion + helped, self._total), self._total)


def _explains(options: Options, predictor: Predictor, studies: int) -> bool:
    """Whether pages get explanations; a network of other make, without backbones, has none to give."""
    able = any(name.startswith("backbone") for name, _ in predictor.network.named_children())
    if options.explain and not able:
        raise FetalMonaiError("the model's network has no backbone that Grad-CAM could look at; leave --explain out")
    return able and (studies <= EXPLAINED_STUDIES if options.explain is None else options.explain)
