"""From disk to both float views: fetal_monai against the usual way, side by side in one run on one core.

The usual way, as published pipelines for ultrasound have it: pydicom's `pixel_array` of the whole file, the frame, a
conversion of its colours, `scipy.ndimage.zoom` to 852 x 1136 where it has another size, the banner, scaling to [-1, 1],
and a bilinear resampling to 224 x 224 and to 528 x 528. Ours: `LoadImaged(reader=UltrasoundReader)`, `ResizeFramed`
(which leaves frames that fit into 852 x 1136 alone), `MaskBannerd` and `DualResolutiond`, as the bundle has them. The
files are made up: speckle in a sector, JPEG Baseline.

    python benchmarks/loading.py [--rounds 15] [--skip-600]
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

logging.disable(logging.INFO)

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pydicom  # noqa: E402
import scipy.ndimage  # noqa: E402
import simplejpeg  # noqa: E402
import torch  # noqa: E402
from monai.transforms import LoadImaged  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate, generate_frames  # noqa: E402
from pydicom.pixels import convert_color_space  # noqa: E402
from pydicom.uid import JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage, generate_uid  # noqa: E402

from fetal_monai.dicom import FrameRef, UltrasoundReader  # noqa: E402
from fetal_monai.transforms import DualResolutiond, MaskBannerd, ResizeFramed, resize_frame  # noqa: E402
from fetal_monai.transforms.dual_resolution import standardise  # noqa: E402
from fetal_monai.utils.shallow_view import shallow_view  # noqa: E402

BASE, DETAILED, SHALLOW = (852, 1136), (528, 528), (224, 224)


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


def write(path: Path, rows: int, columns: int, frames: int) -> None:
    """Write a still or clip; ten different frames are repeated."""
    pictures = [
        simplejpeg.encode_jpeg(speckle(rows, columns, seed), 90, colorsubsampling="422")
        for seed in range(min(frames, 10))
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


TRANSFORMS = (
    LoadImaged("image", reader=UltrasoundReader(), dtype=np.uint8, expanduser=False),
    ResizeFramed("image", size=BASE, only_shrink=True),
    MaskBannerd("image"),
    DualResolutiond("image", detailed_size=DETAILED, shallow_size=SHALLOW, shallow_from="detailed"),
)


def ours(item: dict[str, Any]) -> dict[str, Any]:
    """The transforms of the bundle, one after the other."""
    for transform in TRANSFORMS:
        item = transform(item)
    return item


def bare(jpeg: bytes) -> list[torch.Tensor]:
    """Decoding and both views, without DICOM, MONAI and banner: no reader can go below it with these libraries."""
    frame = torch.from_numpy(simplejpeg.decode_jpeg(jpeg, "RGB", strict=False)).permute(2, 0, 1)
    detailed = standardise(resize_frame(frame, DETAILED), (0.5,) * 3, (0.5,) * 3)
    return [detailed, shallow_view(detailed[None], list(SHALLOW))[0]]


def race(
    first: Callable[[], object], second: Callable[[], object], rounds: int, each: int, clock: Callable[[], float]
) -> tuple[float, float]:
    """Median times in seconds of two workloads in turn: whatever else the machine does, it does to both.

    Args:
        first: the slow one, run once a round.
        second: the quick one, run `each` times a round.
        rounds: how often.
        each: see above.
        clock: seconds of wall time, or of this process on its core.

    Returns:
        The two medians.
    """
    second()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, record, count in ((first, times[0], 1), (second, times[1], each)):
            for _ in range(count):
                start = clock()
                work()
                record.append(clock() - start)
    return statistics.median(times[0]), statistics.median(times[1])


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
    ours({"image": ref})
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
    growths: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder, "first.dcm")  # small, so that what is loaded only once counts for none of the cases
        write(first, 64, 64, 1)
        ours({"image": FrameRef(str(first), -1)})
        print(f"{'':32}{'usual':>12}{'ours':>12}{'ratio':>9}")
        for name, rows, columns, frames in cases:
            ref = FrameRef(str(Path(folder, f"{rows}-{frames}.dcm")), -1 if frames == 1 else frames * 2 // 3)
            write(Path(ref.path), rows, columns, frames)
            growths[name] = peak_growth(ref)
            skip = frames == 600 and options.skip_600
            rounds = {1: options.rounds, 60: 3, 600: 1}[frames]
            slow: Callable[[], object] = (lambda: None) if skip else lambda ref=ref: usual(ref)
            old, new = race(slow, lambda ref=ref: ours({"image": ref}), rounds, 3 if frames == 1 else 15, clock)
            shown = (
                f"{'-':>12}{new * 1e3:>9.2f} ms"
                if skip
                else f"{old * 1e3:>9.1f} ms{new * 1e3:>9.2f} ms{old / new:>8.1f}x"
            )
            print(f"{name:32}{shown}", flush=True)
            if frames == 1:
                jpeg = next(generate_frames(pydicom.dcmread(ref.path).PixelData, number_of_frames=1))
                old, new = race(slow, lambda jpeg=jpeg: bare(jpeg), rounds, 3, clock)
                print(f"{'  its pixels and views alone':32}{old * 1e3:>9.1f} ms{new * 1e3:>9.2f} ms{old / new:>8.1f}x")
    still, clip = growths[cases[0][0]], growths[cases[3][0]]
    if still and clip:
        print(
            f"peak memory above rest, one load: still {still:.1f} MB, of 600 frames {clip:.1f} MB ({clip / still:.3f})"
        )


if __name__ == "__main__":
    main()
