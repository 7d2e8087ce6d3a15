"""How fast is the check of a data set? Many small files, and a table of many rows; time and peak memory.

    python benchmarks/checking.py                       # 100,000 files, 1,000,000 rows
    python benchmarks/checking.py --files 10000         # a tenth, to see how cost grows

Files are copies of one small still under new UIDs, the rows are frames of a thousand small clips. Each check runs in a
process of its own, which tells its peak memory. The index of the files is not remembered: each header is read anew.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pydicom
from peak_memory import peak_mib
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage

FRAMES = 1000
SIDE = 16
CLASSES = ("Femur", "Abdomen", "Thorax", "Other")


def template(frames: int) -> Dataset:
    """A small image of ultrasound; its pixels are noise."""
    data = Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    kind = UltrasoundImageStorage if frames == 1 else UltrasoundMultiFrameImageStorage
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = kind
    data.Modality, data.Manufacturer, data.ManufacturerModelName = "US", "Maker", "Model"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = SIDE, SIDE
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    if frames > 1:
        data.NumberOfFrames = frames
    return data


def write_files(folder: Path, count: int, frames: int) -> None:
    """Copies under new UIDs, ten a patient, a hundred a folder."""
    random = np.random.default_rng(0)
    data = template(frames)
    for number in range(count):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"2.25.{10**12 + number}"
        data.StudyInstanceUID = data.SeriesInstanceUID = f"2.25.{10**13 + number // 10}"
        data.PatientID = f"P{number // 10:06d}"
        data.PixelData = random.integers(0, 256, frames * SIDE * SIDE, dtype=np.uint8).tobytes()
        place = folder / f"{number // 100:05d}"
        place.mkdir(parents=True, exist_ok=True)
        data.save_as(place / f"{number}.dcm", enforce_file_format=True)


def write_rows(path: Path, files: int, frames: int) -> None:
    """A row for each frame, whole patients in a split."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["SOPInstanceUID", "split", "class", "class_int", "frame", "patient_id"])
        for number in range(files):
            patient = number // 10
            split = ("train", "train", "train", "val", "test")[patient % 5]
            for frame in range(frames):
                label = (number + frame // 250) % len(CLASSES)
                writer.writerow([f"2.25.{10**12 + number}", split, CLASSES[label], label, frame, f"P{patient:06d}"])


def check(folder: Path, annotations: Path | None) -> None:
    """Check, and print seconds, images, findings and peak memory as JSON."""
    from fetal_monai.data.checks import check_data  # noqa: PLC0415

    start = time.perf_counter()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        report = check_data(folder, annotations, CLASSES if annotations else None, pool=pool)
    seconds = time.perf_counter() - start
    errors = sum(finding.level == "error" for finding in report.findings)
    print(json.dumps({"seconds": seconds, "images": report.images, "errors": errors, "peak_mib": peak_mib()}))


def measured(folder: Path, annotations: Path | None = None) -> dict[str, float]:
    """What `check` prints in a process of its own, whose index is not remembered."""
    command = [sys.executable, __file__, "--check", str(folder), *([str(annotations)] if annotations else [])]
    with tempfile.TemporaryDirectory() as cache:
        environment = {"XDG_CACHE_HOME": cache, "PATH": "", "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--check", type=Path, nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.check:
        check(arguments.check[0], arguments.check[1] if len(arguments.check) > 1 else None)
        return
    print("| | images | seconds | a second | peak memory, MiB | errors found |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (arguments.files // 10, arguments.files):
            write_files(folder / str(count), count, 1)
            show(f"{count} files", measured(folder / str(count)))
        clips = max(10, arguments.rows // FRAMES)
        write_files(folder / "clips", clips, FRAMES)
        write_rows(folder / "annotations.csv", clips, FRAMES)
        show(f"{clips * FRAMES} rows, {clips} clips", measured(folder / "clips", folder / "annotations.csv"))


def show(name: str, found: dict[str, float]) -> None:
    """A row of the table."""
    rate = found["images"] / found["seconds"]
    numbers = f"{found['images']} | {found['seconds']:.1f} | {rate:.0f} | {found['peak_mib']:.0f} | {found['errors']}"
    print(f"| {name} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
