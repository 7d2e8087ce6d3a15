"""What `fetal-monai predict` does: files and folders in, a folder of results out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from fetal_monai.errors import InputError
from fetal_monai.inference.discover import find_images
from fetal_monai.inference.prediction import Prediction, ReadFailure
from fetal_monai.inference.predictor import Predictor
from fetal_monai.results.folder import REPORTS_FOLDER, check_replaceable, results_folder, write_results


@dataclass(frozen=True)
class Summary:
    """How a run went.

    Args:
        images: classified.
        abstained: of these, how many have no label.
        failures: inputs that could not be classified.
        passed_over: files in the folders that are no ultrasound images.
        reports: structured reports written.
        without_report: images that belong to no study: pictures.
        seconds: from the first image to the last, without loading the model.
    """

    images: int
    abstained: int
    failures: tuple[ReadFailure, ...]
    passed_over: int
    reports: int
    without_report: int
    seconds: float


def predict_to_folder(
    inputs: Iterable[str | PathLike[str]],
    model_dir: str | PathLike[str] | None,
    out: str | PathLike[str],
    *,
    device: str | None = None,
    batch_size: int = 8,
    workers: int = 2,
    reports: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Classify files and folders, and write predictions.csv, predictions.json and, if asked, structured reports.

    Args:
        inputs: DICOM files, PNG or JPEG pictures, folders of them.
        model_dir: the model folder; None takes the model that comes with the package.
        out: the folder to write; see `results_folder`.
        device: see `Predictor`.
        batch_size: see `Predictor`.
        workers: see `Predictor`.
        reports: write one structured report per study.
        overwrite: replace earlier results in `out`.
        progress: called with (images done, images in all).

    Returns:
        How it went. Inputs that cannot be read are listed there and in predictions.json; the others go on.

    Raises:
        InputError: if there is nothing to classify, nothing can be read, the model folder is not right, or `out` may
            not be written.
        FetalMonaiError: if the device or the model cannot be used, or a report cannot be filed.
    """
    check_replaceable(out, overwrite=overwrite)
    found = find_images(inputs)
    predictor = Predictor(model_dir, device, batch_size, workers=workers)
    predictions: list[Prediction] = []
    failures = list(found.failures)
    with results_folder(out, overwrite=overwrite) as folder:
        start = time.perf_counter()
        for done, item in enumerate(predictor.predict(found.frames), start=1):
            if isinstance(item, ReadFailure):
                failures.append(item)
            else:
                predictions.append(item)
            if progress is not None:
                progress(done, len(found.frames))
        seconds = time.perf_counter() - start
        if not predictions:
            raise InputError("input", [failure.message for failure in failures])
        write_results(folder, predictions, failures, predictor.identity, predictor.decisions)
        written = _write_reports(predictions, folder / REPORTS_FOLDER) if reports else 0
    return Summary(
        images=len(predictions),
        abstained=sum(item.label is None for item in predictions),
        failures=tuple(failures),
        passed_over=found.passed_over,
        reports=written,
        without_report=sum(item.sop_instance_uid is None for item in predictions) if reports else 0,
        seconds=seconds,
    )


def _write_reports(predictions: list[Prediction], folder: Path) -> int:
    from fetal_monai.results.structured_report import build_reports, write_report  # noqa: PLC0415  # it is heavy

    count = 0
    for report in build_reports(predictions):
        write_report(report, folder / f"{report.SOPInstanceUID}.dcm")
        count += 1
    return count
