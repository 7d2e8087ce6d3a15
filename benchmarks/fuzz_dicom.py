"""Damage files, real and made, in seeded ways and read them: only a `DicomReadError` or a valid image may come of it.

Every mutant is numbered, and its number makes it, given the same files: `--only 1234` repeats one. Mutants are read in
worker processes that are watched for crashes, hangs (2 seconds) and greed (200 MB above rest).

    python benchmarks/fuzz_dicom.py [--count 20000] [--start N] [--only N]
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib.util
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pydicom.data
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, HTJ2KLossless

from fetal_monai.dicom import UltrasoundInstance, index_dicom
from fetal_monai.errors import DicomReadError

SECONDS, MEGABYTES = 2.0, 200.0
_ITEM = b"\xfe\xff\x00\xe0"
_NAMES = """
examples_palette.dcm examples_rgb_color.dcm examples_ybr_color.dcm SC_rgb_rle.dcm SC_rgb_rle_16bit_2frame.dcm
MR_small_RLE.dcm SC_rgb_jpeg_gdcm.dcm SC_rgb_jpeg_lossy_gdcm.dcm SC_rgb_dcmtk_+eb+cr.dcm SC_rgb_dcmtk_+eb+cy+s4.dcm
SC_rgb_small_odd_jpeg.dcm SC_jpeg_no_color_transform.dcm JPGExtended.dcm JPEG-lossy.dcm JPEGLSNearLossless_08.dcm
JPEGLSNearLossless_16.dcm MR_small_jpeg_ls_lossless.dcm SC_rgb_jls_lossy_line.dcm SC_rgb_jls_lossy_sample.dcm
MR_small_jp2klossless.dcm GDCMJ2K_TextGBR.dcm SC_rgb_gdcm_KY.dcm JPEG2000.dcm image_dfl.dcm ExplVR_BigEnd.dcm
MR_small_implicit.dcm MR_small_bigendian.dcm SC_ybr_full_422_uncompressed.dcm SC_rgb_small_odd.dcm CT_small.dcm
emri_small_jpeg_2k_lossless.dcm emri_small_jpeg_ls_lossless.dcm emri_small_RLE.dcm OBXXXX1A_rle.dcm
SC_rgb_16bit_2frame.dcm SC_rgb_32bit.dcm mlut_18.dcm vlut_04.dcm
""".split()  # noqa: SIM905  # forty quoted words read worse


def seeds() -> list[tuple[str, bytes]]:
    """The files to damage: those of pydicom and, where installed, of pydicom-data, and HTJ2K by imagecodecs."""
    found = [(name, pydicom.data.get_testdata_file(name, download=False)) for name in _NAMES]
    real = [(name, Path(str(path)).read_bytes()) for name, path in found if path]
    if importlib.util.find_spec("imagecodecs") is None:
        return real
    return [*real, ("HTJ2K lossless", _htj2k(HTJ2KLossless)), ("HTJ2K", _htj2k(HTJ2K, level=0.01, reversible=False))]


def _htj2k(syntax: str, **options: object) -> bytes:
    """A real picture in High-Throughput JPEG 2000, which no file of pydicom has."""
    imagecodecs = importlib.import_module("imagecodecs")
    data = pydicom.dcmread(str(pydicom.data.get_testdata_file("examples_rgb_color.dcm", download=False)))
    data.PixelData = encapsulate([imagecodecs.htj2k_encode(data.pixel_array, **options)])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID, data.PlanarConfiguration = syntax, 0
    data.PhotometricInterpretation = "YBR_ICT" if options else "YBR_RCT"
    written = io.BytesIO()
    data.save_as(written)
    return written.getvalue()


def flip_bits(data: bytearray, rng: random.Random) -> None:
    """Flip a few bits anywhere, more often in the first kilobytes."""
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        place = rng.randrange(min(len(data), 4096)) if rng.random() < 0.5 else rng.randrange(len(data))
        data[place] ^= 1 << rng.randrange(8)


def truncate(data: bytearray, rng: random.Random) -> None:
    """Cut the end off."""
    del data[rng.randrange(len(data)) :]


def break_length(data: bytearray, rng: random.Random) -> None:
    """Write an absurd number over four or two bytes, often where an item or element states its length."""
    places = [rng.randrange(len(data) - 4)]
    for pattern in (
        _ITEM,
        b"OW\0\0",
        b"OB\0\0",
        b"SQ\0\0",
        b"UN\0\0",
        b"\xff\x4f\xff\x51",
        b"\xff\xc0",
        b"\xff\xc3",
        b"\xff\xf7",
    ):
        at = data.find(pattern, rng.randrange(len(data)))
        if at >= 0:
            places.append(at + 4)
    place = min(rng.choice(places), len(data) - 4)
    value = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, rng.getrandbits(32), rng.getrandbits(16)))
    if rng.random() < 0.5:
        data[place : place + 4] = struct.pack("<L", value)
    else:
        data[place : place + 2] = struct.pack("<H", value & 0xFFFF)


def change_element(data: bytearray, rng: random.Random) -> None:
    """Overwrite the tag, VR, length or value of an element of the pixel description, or delete the element."""
    tags = [
        b"\x28\x00" + bytes([low, high])
        for low, high in ((2, 0), (4, 0), (6, 0), (8, 0), (16, 0), (17, 0), (0, 1), (1, 1))
    ]
    tags += [
        b"\x28\x00\x02\x01",
        b"\x28\x00\x03\x01",
        b"\x28\x00\x01\x11",
        b"\x28\x00\x01\x12",
        b"\xe0\x7f\x10\x00",
        b"\x02\x00\x10\x00",
    ]
    at = data.find(rng.choice(tags))
    if at < 0:
        flip_bits(data, rng)
    elif rng.random() < 0.3:
        del data[at : at + rng.choice((8, 10, 12))]
    else:
        for _ in range(rng.choice((1, 2, 4))):
            place = min(at + rng.randrange(14), len(data) - 1)
            data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def swap_fragments(data: bytearray, rng: random.Random) -> None:
    """Exchange two stretches of the file, between item tags where there are some."""
    starts, at = [], data.find(_ITEM)
    while at >= 0 and len(starts) < 500:
        starts.append(at)
        at = data.find(_ITEM, at + 4)
    if len(starts) < 3:
        starts = sorted(rng.sample(range(len(data)), 4))
    first, second = sorted(rng.sample(range(len(starts) - 1), 2)) if len(starts) > 2 else (0, 0)
    a, b, c, d = starts[first], starts[first + 1], starts[second], starts[second + 1]
    data[:] = data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def insert_junk(data: bytearray, rng: random.Random) -> None:
    """Insert or repeat some bytes."""
    place, size = rng.randrange(len(data)), rng.choice((1, 2, 7, 64, 1024))
    junk = rng.randbytes(size) if rng.random() < 0.5 else bytes(data[place : place + size])
    data[place:place] = junk


MUTATORS = (
    flip_bits,
    flip_bits,
    truncate,
    break_length,
    break_length,
    change_element,
    change_element,
    swap_fragments,
    insert_junk,
)


def mutant(number: int, files: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """The mutant of a number: the name of its seed and mutations, and its bytes."""
    rng = random.Random(number)
    name, original = rng.choice(files)
    data = bytearray(original)
    story = [name]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if len(data) > 64:
            change = rng.choice(MUTATORS)
            change(data, rng)
            story.append(change.__name__)
    return " ".join(story), bytes(data)


def read_one(path: Path) -> str:
    """Read a damaged file as a pipeline would: "error" or "image"; anything else that happens is a finding."""
    try:
        with UltrasoundInstance(path) as instance:
            for frame in {0, len(instance) - 1} if len(instance) > 1 else (-1,):
                image = instance.frame(frame)
                if image.dtype != np.uint8 or image.shape != (3, instance.layout.rows, instance.layout.columns):
                    raise AssertionError(f"an image of {image.dtype} {image.shape}")
                json.dumps(instance.metadata(frame), default=np.ndarray.tolist)
    except DicomReadError:
        return "error"
    return "image"


def resident() -> float:
    """MB of memory of this process at its peak since the last reset, where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


def reset_peak() -> None:
    """Let the peak be the present size, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def work() -> None:
    """A worker: numbers come in, one line of findings each goes out."""
    warnings.simplefilter("ignore")
    files = seeds()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.dcm")
        for line in sys.stdin:
            story, data = mutant(int(line), files)
            path.write_bytes(data)
            reset_peak()
            before, start = resident(), time.perf_counter()
            try:
                outcome = read_one(path)
                index_dicom(folder)
            except BaseException as error:  # noqa: BLE001  # exactly what must not happen
                outcome = f"{type(error).__name__}: {str(error)[:150]}"
            seconds, growth = time.perf_counter() - start, resident() - before
            print(json.dumps([outcome, round(seconds, 3), round(growth, 1), story]), flush=True)


def fuzz(numbers: range | list[int], *, tolerate_slow: float = 1.0, show: bool = False) -> collections.Counter[str]:
    """Read mutants in a watched worker.

    Args:
        numbers: which.
        tolerate_slow: factor on the time allowed, for busy machines.
        show: whether to print progress and findings.

    Returns:
        How often each outcome came: "error", "image", and findings by their first words.
    """
    counts: collections.Counter[str] = collections.Counter()
    worker: subprocess.Popen[str] | None = None
    for number in numbers:
        if worker is None or worker.poll() is not None:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "OFF"}
            worker = subprocess.Popen(
                [sys.executable, __file__, "--work"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
        watchdog = threading.Timer(60, worker.kill)
        watchdog.start()
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(f"{number}\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        watchdog.cancel()
        if not line:
            finding = "the process died"
            detail = f"exit status {worker.wait()}: {mutant(number, seeds())[0]}"
        else:
            outcome, seconds, growth, detail = json.loads(line)
            finding = outcome
            if seconds > SECONDS * tolerate_slow:
                finding = f"slow: {seconds:.1f} s"
            elif growth > MEGABYTES:
                finding = f"greedy: {growth:.0f} MB"
        counts[finding if finding in ("error", "image") else f"FINDING {number} {finding}"] += 1
        if show and finding not in ("error", "image"):
            print(f"{number}: {finding} ({detail})", flush=True)
    if worker is not None and worker.stdin is not None:
        worker.stdin.close()
        worker.wait()
    return counts


def main() -> None:
    """Fuzz and print what came of it; exit with 1 on findings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", type=int, help="read this one mutant, in this process")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
        return
    if options.only is not None:
        story, data = mutant(options.only, seeds())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "m.dcm")
            path.write_bytes(data)
            print(story, len(data), "bytes")
            print(read_one(path))
        return
    begin = time.perf_counter()
    counts = fuzz(range(options.start, options.start + options.count), show=True)
    findings = {key: value for key, value in counts.items() if key not in ("error", "image")}
    print(
        f"{options.count} mutants of {len(seeds())} files in {time.perf_counter() - begin:.0f} s: "
        f"{counts['error']} refused, {counts['image']} read, {len(findings)} findings"
    )
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
