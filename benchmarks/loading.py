"""From a file to both float views: fetal_monai against the usual way, side by side in one run on one core.

The usual way, as published pipelines for ultrasound have it: pydicom's `pixel_array` of the whole file, the frame, a
conversion of its colours, `scipy.ndimage.zoom` to 852 x 1136 where it has another size, the banner, scaling to [-1, 1],
and a bilinear resampling to 224 x 224 and to 528 x 528. Ours: `LoadImaged(reader=UltrasoundReader)`, `ResizeFramed`
(which leaves frames that fit into 852 x 1136 alone), `MaskBannerd` and `DualResolutiond` in a `FrameDataset`, as the
bundle has them; and later epochs, whose frames it has kept in memory (cache_rate) or on disk (cache_dir, read from the
system's page cache; and with the pages dropped before each load). On a GPU the bundle leaves the small view to the
network, which has its own rows. The files are made up: speckle in a sector, JPEG Baseline. Each load is of another
frame than the last, so that none is in the processor's caches.

    python benchmarks/loading.py [--rounds 15] [--skip-600]
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle
from pathlib import Path

logging.disable(logging.INFO)

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pydicom  # noqa: E402
import scipy.ndimage  # noqa: E402
import simplejpeg  # noqa: E402
import torch  # noqa: E402
from monai.transforms import Compose, LoadImaged  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate, generate_frames  # noqa: E402
from pydicom.pixels import convert_color_space  # noqa: E402
from pydicom.uid import JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage, generate_uid  # noqa: E402

from fetal_monai.data import FrameDataset  # noqa: E402
from fetal_monai.dicom import FrameRef, UltrasoundReader  # noqa: E402
from fetal_monai.transforms import DualResolutiond, MaskBannerd, ResizeFramed, resize_frame  # noqa: E402
from fetal_monai.transforms.dual_resolution import leave_shallow_to_network, standardise  # noqa: E402
from fetal_monai.utils.shallow_view import shallow_view  # noqa: E402

BASE, DETAILED, SHALLOW = (852, 1136), (528, 528), (224, 224)
IMAGES = 5298
"""Of the data set in arXiv 2506.08623: for what caches of it would take."""
DIFFERENT = 24
"""Frames of a case: 70 MB, more than a processor's caches hold."""


def speckle(rows: int, columns: int, seed: int) -> np.ndarray:
    """A sector of speckle on black, (rows, columns, 3) uint8: what a probe's screen compresses like."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.rayleigh(90, (rows, columns)).astype(np.float32), (0, 0), 2)
    y, x = np.mgrid[:rows, :columns]
    radius, angle = np.hypot(y + 60, x - columns / 2), np.arctan2(x - columns / 2, y + 60)
    sector = (np.abs(angle) < 0.6) & (radius > 150) & (radius < rows)
    grey = np.where(sector, noise.clip(0, 255), 5).astype(np.uint8)
    frame = np.stack([grey] * 3, axis=-1)
    cv2.putText(frame, f"frame {seed}", (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, (220, 200, 60), 2)
    return frame


def write(path: Path, rows: int, columns: int, frames: int, seed: int = 0) -> None:
    """Write a still or clip; ten different frames are repeated."""
    pictures = [
        simplejpeg.encode_jpeg(speckle(rows, columns, seed + index), 90, colorsubsampling="422")
        for index in range(min(frames, 10))
    ]
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.SOPClassUID, data.SOPInstanceUID = UltrasoundMultiFrameImageStorage, generate_uid()
    data.Modality, data.PatientID, data.StudyInstanceUID = "US", "benchmark", generate_uid()
    data.Rows, data.Columns, data.NumberOfFrames = rows, columns, frames
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "YBR_FULL_422", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PixelData = encapsulate([pictures[index % len(pictures)] for index in range(frames)])
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)


def usual(ref: FrameRef) -> tuple[torch.Tensor, torch.Tensor]:
    """The baseline that the module describes."""
    data = pydicom.dcmread(ref.path)
    array = data.pixel_array
    frame = array[ref.frame] if array.ndim == 4 else array
    # The colours are converted as such pipelines do, on the array that pydicom has converted already.
    frame = convert_color_space(frame, data.PhotometricInterpretation, "RGB")
    if frame.shape[:2] != BASE:
        frame = scipy.ndimage.zoom(frame, (BASE[0] / frame.shape[0], BASE[1] / frame.shape[1], 1), order=1)
    frame = frame.copy()
    frame[:68] = (19, 22, 25)
    image = torch.from_numpy(frame).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)[None]
    views = [
        torch.nn.functional.interpolate(image, size, mode="bilinear", align_corners=True)
        for size in (DETAILED, SHALLOW)
    ]
    return views[0][0], views[1][0]


KEPT = (
    LoadImaged("image", reader=UltrasoundReader(), dtype=np.uint8, expanduser=False),
    ResizeFramed("image", size=BASE, only_shrink=True),
    MaskBannerd("image"),
)
VIEWS = DualResolutiond("image", detailed_size=DETAILED, shallow_size=SHALLOW, antialias=True, shallow_from="detailed")


def ours(
    refs: list[FrameRef], *, one_view: bool = False, cache_rate: float = 0.0, cache_dir: Path | None = None
) -> FrameDataset:
    """The data set of the bundle's `validate`; that of `train` adds the augmentation."""
    items = [{"image": ref} for ref in refs]
    transform = Compose([*KEPT, *(leave_shallow_to_network([VIEWS]) if one_view else [VIEWS])])
    return FrameDataset(
        items, transform, kept=len(KEPT), cache_rate=cache_rate, cache_dir=cache_dir, num_workers=1, progress=False
    )


def in_turn(frames: FrameDataset) -> Callable[[], object]:
    """Load one frame after the other, from the beginning again after the last."""
    indices = cycle(range(len(frames)))
    return lambda: frames[next(indices)]


def stored(frames: FrameDataset) -> Iterator[Path]:
    """The files of a data set's cache on disk."""
    assert frames.store is not None
    yield from frames.store.folder.rglob("*.npy")


def drop_pages(frames: FrameDataset) -> None:
    """Let the system forget what it has read of a cache, so that the next load comes from the disk."""
    for path in stored(frames):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bare(jpeg: bytes) -> list[torch.Tensor]:
    """Decoding and both views, without DICOM, MONAI and banner: no reader can go below it with these libraries."""
    frame = torch.from_numpy(simplejpeg.decode_jpeg(jpeg, "RGB", strict=False)).permute(2, 0, 1)
    detailed = standardise(resize_frame(frame, DETAILED), (0.5,) * 3, (0.5,) * 3)
    return [detailed, shallow_view(detailed[None], list(SHALLOW))[0]]


def race(
    works: dict[str, Callable[[], object]], rounds: int, each: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Median times in seconds of workloads in turn: whatever else the machine does, it does to all of them.

    Args:
        works: by name; the first is the slow one, run once a round.
        rounds: how often.
        each: how often the others are run in a round.
        clock: seconds of wall time, or of this process on its core.

    Returns:
        The medians, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for place, (name, work) in enumerate(works.items()):
            for _ in range(each if place else 1):
                start = clock()
                work()
                times[name].append(clock() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def peak_growth(ref: FrameRef) -> float | None:
    """By how many MB one load raises the peak of a fresh process's memory (Linux), imports and code paths warmed."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(_growth, ref).result()


def _growth(ref: FrameRef) -> float:
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")  # the peak becomes the present size
    before = _kilobytes(status, "VmRSS")
    ours([ref])[0]
    return (_kilobytes(status, "VmHWM") - before) / 1024


def _kilobytes(status: Path, field: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="of a still; clips run fewer")
    parser.add_argument("--skip-600", action="store_true", help="leave out the usual way on 600 frames: 2 GB, a minute")
    parser.add_argument(
        "--cpu", action="store_true", help="count CPU time: on a busy machine wall time tells of others"
    )
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    kind = "CPU" if options.cpu else "wall"
    versions = f"torch {torch.__version__}, pydicom {pydicom.__version__}"
    print(f"{platform.machine()}, one thread, medians of {kind} time; {versions}")
    cases = [("still 852 x 1136", 852, 1136, 1), ("still 768 x 1024", 768, 1024, 1)]
    cases += [(f"one of {frames} frames 852 x 1136", 852, 1136, frames) for frames in (60, 600)]
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder, "first.dcm")  # small, so that what is loaded only once counts for none of the cases
        write(first, 64, 64, 1)
        ours([FrameRef(str(first))])[0]
        print(f"{'':44}{'time':>12}{'usual / it':>12}")
        growths = [measure(Path(folder, str(number)), case, options, clock) for number, case in enumerate(cases)]
    still, clip = growths[0], growths[3]
    if still and clip:
        print(
            f"peak memory above rest, one load: still {still:.1f} MB, of 600 frames {clip:.1f} MB ({clip / still:.3f})"
        )
    size = np.prod(BASE) * 3
    print(f"{IMAGES} frames of 852 x 1136, kept: {size * IMAGES / 2**30:.1f} GiB of memory, or of disk")


def measure(
    folder: Path, case: tuple[str, int, int, int], options: argparse.Namespace, clock: Callable[[], float]
) -> float | None:
    """Measure one kind of file, print the rows, and return the growth of memory."""
    name, rows, columns, frames = case
    folder.mkdir()
    if frames == 1:
        refs = [FrameRef(str(folder / f"{seed}.dcm")) for seed in range(DIFFERENT)]
        for seed, ref in enumerate(refs):
            write(Path(ref.path), rows, columns, 1, seed)
    else:
        refs = [
            FrameRef(str(folder / "clip.dcm"), index) for index in range(frames * 2 // 3 - DIFFERENT, frames * 2 // 3)
        ]
        write(Path(refs[0].path), rows, columns, frames)
    growth = peak_growth(refs[0])
    skip = frames == 600 and options.skip_600
    path = cycle(refs)
    decoded = cycle([{"image": Compose(KEPT)({"image": ref})["image"].as_tensor()} for ref in refs])
    cached = ours(refs, cache_dir=folder / "cache")
    for index in range(len(refs)):
        cached[index]
    works: dict[str, Callable[[], object]] = {
        f"{name}: usual": (lambda: None) if skip else lambda: usual(next(path)),
        "  ours, first epoch": in_turn(ours(refs)),
        "  later epochs, kept in memory": in_turn(ours(refs, cache_rate=1.0)),
        "  later epochs, kept on disk": in_turn(cached),
        "  of these, the views alone": lambda: VIEWS(next(decoded)),
        "  kept in memory, small view in the network": in_turn(ours(refs, one_view=True, cache_rate=1.0)),
        "  kept on disk, small view in the network": in_turn(ours(refs, one_view=True, cache_dir=folder / "cache")),
    }
    if frames == 1:
        jpegs = cycle([next(generate_frames(pydicom.dcmread(ref.path).PixelData, number_of_frames=1)) for ref in refs])
        works["  decoding and views alone"] = lambda: bare(next(jpegs))
    rounds = {1: options.rounds, 60: 3, 600: 1}[frames]
    times = race(works, rounds, 3 if frames == 1 else 15, clock)
    if hasattr(os, "posix_fadvise") and not options.cpu:
        os.sync()
        cold = []
        for index in range(len(refs)):
            drop_pages(cached)
            start = clock()
            cached[index]
            cold.append(clock() - start)
        times["  kept on disk, pages dropped"] = statistics.median(cold)
    slow = times[f"{name}: usual"]
    for what, taken in times.items():
        print(f"{what:44}{'-' if skip and taken == slow else f'{taken * 1e3:.2f} ms':>12}", end="")
        print(f"{'-' if skip or taken == slow else f'{slow / taken:.1f}':>12}", flush=True)
    return growth


if __name__ == "__main__":
    main()
