"""Some studies of many, analysed and written: what one process does of a call at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing

from fetal_monai.inference.predictor import Predictor
from fetal_monai.report.pictures import still_jpeg
from fetal_monai.results.options import Options
from fetal_monai.results.study_folder import StudyWriter, WrittenStudy
from fetal_monai.study.grouping import StudyFiles
from fetal_monai.study.study import analyse_studies
from fetal_monai.utils.thread_pool import thread_pool

Portion = Sequence[tuple[int, StudyFiles]]
"""Studies with their numbers."""

_LEAST_FRAMES = 12
"""A portion is of so many frames or more: its last batch may be small, and is waited for."""


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
