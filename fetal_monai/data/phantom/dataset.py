"""Generating the whole set: files, annotations, read-me; in parallel, and either all of it or nothing."""

from __future__ import annotations

import csv
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from fetal_monai.data.phantom.dicom_writer import Identity, build_dataset, derived_uid, write_dicom
from fetal_monai.data.phantom.plan import PhantomSpec, Planned, class_index, make_plan
from fetal_monai.data.phantom.scene import Scene, compose, render
from fetal_monai.data.phantom.style import patient_style
from fetal_monai.errors import InputError
from fetal_monai.utils.files import atomic_folder

COLUMNS = ("SOPInstanceUID", "split", "class", "class_int", "frame", "patient_id")
CLIP_FRAMES = (8, 12)
MARK = "SYNTHETIC FETAL ULTRASOUND PHANTOM"
README = f"""{MARK}

Made by fetal_monai (fetal-monai phantom). Every image is computed: none shows a person, and none comes from a scanner.
The pictures imitate sixteen planes of the second-trimester examination by simple shapes, so that a pipeline can be
tried, taught and tested. Results on them say nothing about results on patients. Not for clinical use.

dicom/            one file per still or clip, named by its SOPInstanceUID
annotations.csv   SOPInstanceUID, split, class, class_int, frame, patient_id
                  (frame -1: a still; otherwise the frame of the clip that shows the class, from 0)

Settings: {{settings}}
Licence: CC0 1.0 (public domain dedication).
"""

Row = dict[str, str | int]


def scene_and_identity(spec: PhantomSpec, patient: int, index: int) -> tuple[Scene, Identity]:
    """Return what a file is before anyone has decided which plane it shows: nothing but pixels may tell the class."""
    rng = np.random.default_rng([spec.seed, patient, index])
    clip, jpeg = bool(rng.random() < spec.clip_share), bool(rng.random() >= spec.rgb_share)
    frames = int(rng.integers(CLIP_FRAMES[0], CLIP_FRAMES[1] + 1)) if clip else 1
    style = patient_style(np.random.default_rng([spec.seed, patient]))
    scene = compose(style, spec.size, frames, (spec.seed, patient, index))
    identity = Identity(
        patient_id=f"PHANTOM{patient:04d}",
        study_uid=derived_uid(spec, "study", patient),
        series_uid=derived_uid(spec, "series", patient),
        sop_uid=derived_uid(spec, "image", patient, index),
        number=index + 1,
        jpeg=jpeg,
        clip=clip,
    )
    return scene, identity


def write_image(spec: PhantomSpec, planned: Planned, folder: Path) -> Row:
    """Render and write one file; return its row of the annotations."""
    scene, identity = scene_and_identity(spec, planned.patient, planned.index)
    frames = render(scene, planned.plane)
    write_dicom(build_dataset(frames, identity, scene.style, scene.sector), folder / f"{identity.sop_uid}.dcm")
    return {
        "SOPInstanceUID": str(identity.sop_uid),
        "split": planned.split,
        "class": planned.plane,
        "class_int": class_index(planned.plane),
        "frame": scene.labelled if identity.clip else -1,
        "patient_id": identity.patient_id,
    }


def _write_patient(spec: PhantomSpec, images: list[Planned], folder: Path) -> list[Row]:
    cv2.setNumThreads(1)  # the workers share the cores already
    return [write_image(spec, planned, folder) for planned in images]


def generate_phantom(
    out: str | os.PathLike[str],
    spec: PhantomSpec | None = None,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Write the phantom data set into a folder.

    The same `spec` gives the same bytes on the same machine, whatever the number of workers. The set is built in a
    temporary folder beside `out` and renamed when it is complete.

    Args:
        out: the folder to make: `dicom/`, `annotations.csv`, `README.txt`. It may exist if it is empty.
        spec: what to generate; the default has 96 patients and about a thousand images.
        workers: processes; by default one per core that this process may use. 1 uses no other process.
        overwrite: replace a phantom that is there already. Nothing but a phantom is ever replaced.
        progress: called with (patients done, patients in all).

    Returns:
        The rows of `annotations.csv`.

    Raises:
        InputError: if `out` is not empty and may not be replaced, or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> spec = PhantomSpec(patients=6, images_per_patient=1, size=(240, 320))
        >>> rows = generate_phantom(Path(folder, "phantom"), spec, workers=1)
        >>> len(rows), sorted(p.name for p in Path(folder, "phantom").iterdir())
        (6, ['README.txt', 'annotations.csv', 'dicom'])
    """
    spec = spec or PhantomSpec()
    plan = make_plan(spec)
    with _replacing(Path(out), overwrite=overwrite) as folder:
        images = folder / "dicom"
        images.mkdir()
        done: dict[int, list[Row]] = {}
        for patient, rows_of_patient in _run(spec, plan, images, _count_workers(workers)):
            done[patient] = rows_of_patient
            if progress is not None:
                progress(len(done), len(plan))
        rows = [row for patient in sorted(done) for row in done[patient]]
        with (folder / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        (folder / "README.txt").write_text(README.format(settings=spec), encoding="utf-8")
    return rows


def _count_workers(workers: int | None) -> int:
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 1:
        raise InputError("phantom", [f"workers is {workers}; use 1 or more"])
    return workers


def _run(spec: PhantomSpec, plan: list[list[Planned]], folder: Path, workers: int) -> Iterable[tuple[int, list[Row]]]:
    if workers == 1:
        for patient, images in enumerate(plan):
            yield patient, _write_patient(spec, images, folder)
        return
    # A forked child would inherit the locks of OpenCV's and torch's threads: start clean ones.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(plan)), mp_context=context)
    try:
        futures = {pool.submit(_write_patient, spec, images, folder): patient for patient, images in enumerate(plan)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _replacing(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder beside `out` that takes its place when the block ends without an error."""
    out = out.absolute()
    try:
        _check_replaceable(out, overwrite=overwrite)
        with atomic_folder(out, replace=True) as folder:
            yield folder
    except OSError as error:
        cause = error.strerror or str(error)
        raise InputError(out, [f"cannot be written: {cause}; make room for it or name another folder"]) from error


def _check_replaceable(out: Path, *, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(out, ["is a file; name a folder to be made"])
    if not any(out.iterdir()):
        return
    if not overwrite:
        raise InputError(out, ["is not empty; name another folder, or use --overwrite to replace a phantom"])
    mark = out / "README.txt"
    if not mark.is_file() or not mark.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise InputError(out, ["holds something other than a phantom, which is never replaced; name another folder"])
