"""DICOM files made to measure, and decoders that we did not write."""

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import UID, HTJ2KLossless, UltrasoundMultiFrameImageStorage, generate_uid

EXPLICIT = "1.2.840.10008.1.2.1"
COLOURS = np.array(
    [
        [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)],
        [(0, 0, 0), (66, 66, 66), (255, 255, 0), (0, 255, 255)],
        [(255, 0, 255), (19, 22, 25), (200, 120, 40), (128, 128, 128)],
    ],
    np.uint8,
)


def make_frames(count=3, block=16):
    """(count, 3 * block, 4 * block, 3) uint8: flat blocks of known colours, moved on by one block in each frame."""
    one = COLOURS.repeat(block, 0).repeat(block, 1)
    return np.stack([np.roll(one, index * block, axis=1) for index in range(count)])


def make_dicom(
    path,
    frames,
    *,
    photometric="RGB",
    syntax=EXPLICIT,
    bits=8,
    stored=None,
    high=None,
    signed=False,
    planar=0,
    pixels=None,
    encoded=None,
    offsets="basic",
    fragments=1,
    size=None,
    elements=None,
):
    """Write an instance.

    Args:
        frames: (N, H, W) or (N, H, W, 3) stored values, for the geometry and for uncompressed pixels.
        pixels: raw bytes instead of the frames' (uncompressed).
        encoded: compressed frames, as bytes.
        offsets: "basic", "extended" or "none".
        fragments: into how many pieces each compressed frame is cut.
        size: (rows, columns) to declare instead of the true ones.
        elements: keyword -> value, set last; None deletes.
    """
    frames = np.asarray(frames)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.SOPClassUID = UltrasoundMultiFrameImageStorage
    data.SOPInstanceUID, data.StudyInstanceUID, data.SeriesInstanceUID = (generate_uid() for _ in range(3))
    data.Modality, data.Manufacturer, data.ManufacturerModelName = "US", "Maker", "Model"
    data.PatientID, data.PatientName = "secret-7", "Doe^Jane"
    data.Rows, data.Columns = size or frames.shape[1:3]
    if len(frames) > 1:
        data.NumberOfFrames = len(frames)
        data.FrameTime = 40
    data.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    data.PhotometricInterpretation = photometric
    if frames.ndim == 4:
        data.PlanarConfiguration = planar
    data.BitsAllocated, data.BitsStored = bits, stored or bits
    data.HighBit = data.BitsStored - 1 if high is None else high
    data.PixelRepresentation = int(signed)
    if encoded is not None:
        if offsets == "extended":
            data.PixelData, data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = encapsulate_extended(encoded)
        else:
            data.PixelData = encapsulate(encoded, fragments_per_frame=fragments, has_bot=offsets == "basic")
        data["PixelData"].is_undefined_length = True
    else:
        order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
        stored_frames = frames.transpose(0, 3, 1, 2) if planar else frames
        kind = f"{order}{'i' if signed else 'u'}{bits // 8}"
        data.PixelData = pixels if pixels is not None else stored_frames.astype(kind).tobytes()
        data["PixelData"].VR = "OB" if bits == 8 and syntax != "1.2.840.10008.1.2" else "OW"
    for keyword, value in (elements or {}).items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    known = UID(syntax).is_transfer_syntax
    data.file_meta.TransferSyntaxUID = syntax if known else HTJ2KLossless  # pydicom 3.0 knows no JPEG XL
    data.save_as(path, enforce_file_format=True)
    if not known:
        Path(path).write_bytes(Path(path).read_bytes().replace(HTJ2KLossless.encode(), syntax.encode()))
    return Path(path)


def dcmtk_run(tool, *arguments):
    """Run one of dcmtk's tools, or skip where dcmtk is not installed."""
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}: install the package dcmtk")
    subprocess.run([tool, *map(str, arguments)], check=True, capture_output=True)


def dcmtk_frames(path, folder, *options):
    """All frames as dcmtk shows them, (N, 3, H, W) uint8; raises CalledProcessError where it cannot."""
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    syntax = getattr(header, "file_meta", {}).get("TransferSyntaxUID", "")
    tool = "dcml2pnm" if syntax.startswith("1.2.840.10008.1.2.4.8") else "dcmj2pnm"
    out = Path(folder) / "dcmtk.pnm"
    dcmtk_run(tool, "-q", "-O", *options, "+Fa", "--write-raw-pnm", path, out)
    count = int(header.get("NumberOfFrames") or 1)
    names = [next(out.parent.glob(f"dcmtk.pnm.{index}.p?m")) for index in range(count)]
    images = [cv2.imread(str(name), cv2.IMREAD_UNCHANGED) for name in names]
    return np.stack([np.stack([i] * 3) if i.ndim == 2 else i[..., ::-1].transpose(2, 0, 1) for i in images])


def itk_frames(path):
    """All frames as ITK (GDCM) decodes them: (N, H, W) values after rescaling, or (N, H, W, 3) colours."""
    itk = pytest.importorskip("itk", reason="install the package itk-io")
    array = itk.array_from_image(itk.imread(str(path)))
    colour = array.shape[-1] == 3 and array.ndim > 2
    return array if array.ndim == (4 if colour else 3) else array[None]


def real_file(name):
    """A file that came with pydicom or pydicom-data."""
    path = pydicom.data.get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not here: install the package pydicom-data")
    return Path(path)


class Kit:
    """What the tests of this folder share, behind one fixture because test folders import nothing from each other."""

    frames = staticmethod(make_frames)
    write = staticmethod(make_dicom)
    dcmtk = staticmethod(dcmtk_run)
    dcmtk_frames = staticmethod(dcmtk_frames)
    itk_frames = staticmethod(itk_frames)
    real = staticmethod(real_file)


@pytest.fixture(scope="session")
def kit():
    return Kit
