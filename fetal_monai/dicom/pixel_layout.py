"""The description of an instance's pixels, checked before one of them is read."""

from __future__ import annotations

from dataclasses import dataclass

from fetal_monai.dicom.element_values import frame_count, integer, text
from fetal_monai.dicom.header import Header
from fetal_monai.dicom.limits import Fault, Limits

HALF_CHROMA = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})


@dataclass(frozen=True)
class PixelLayout:
    """What the Image Pixel module (PS3.3 C.7.6.3) says of the frames, checked.

    Args:
        rows: height of a frame in pixels.
        columns: width of a frame in pixels.
        frames: number of frames, 1 for a still.
        samples: samples per pixel, 1 or 3.
        photometric: PhotometricInterpretation.
        planar: whether the three samples are stored one plane after the other.
        bits_allocated: bits of one stored sample: 1, 8, 16 or 32.
        bits_stored: bits of it that carry the value.
        high_bit: position of the value's highest bit.
        signed: whether values are two's complement.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: bool
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def least_bytes(self) -> int:
        """What the frames take at least where they are not compressed: chroma may be halved (PS3.3 C.7.6.3.1.2)."""
        samples = 2 if self.samples == 3 and self.photometric in HALF_CHROMA else self.samples
        return -(-self.rows * self.columns * self.frames * samples * self.bits_allocated // 8)


def pixel_layout(header: Header, limits: Limits) -> PixelLayout:
    """Check the description of the pixels against reason and the limits.

    Args:
        header: the parsed header.
        limits: caps on the size of a frame and on their number.

    Returns:
        The layout.

    Raises:
        Fault: if there are no pixels, or the description is missing, contradictory or above a limit.
    """
    dataset = header.dataset
    if header.pixel_offset is None:
        raise Fault("the file has no pixel data", "leave it out: it is a report or a structure, not an image")
    rows = integer(dataset, "Rows", None, 1, 65535)
    columns = integer(dataset, "Columns", None, 1, 65535)
    frames = frame_count(dataset, 2**31 - 1)
    samples = integer(dataset, "SamplesPerPixel", 1, 1, 4)
    bits = integer(dataset, "BitsAllocated", None, 1, 64)
    stored = integer(dataset, "BitsStored", bits, 1, 64)
    high = integer(dataset, "HighBit", stored - 1, 0, 63)
    photometric = text(dataset, "PhotometricInterpretation") or ("RGB" if samples == 3 else "MONOCHROME2")
    if samples not in (1, 3):
        raise Fault(f"SamplesPerPixel is {samples}, not 1 or 3")
    if bits not in (1, 8, 16, 32):
        raise Fault(f"BitsAllocated is {bits}, not 1, 8, 16 or 32", "this is no ultrasound image; leave it out")
    if bits == 1 and samples != 1:
        raise Fault(f"pixels of {samples} samples of 1 bit are not defined")
    if stored > bits or not stored - 1 <= high < bits:
        raise Fault(f"BitsStored {stored} and HighBit {high} do not fit in BitsAllocated {bits}")
    for name, value, cap in (
        ("rows x columns", rows * columns, limits.max_frame_pixels),
        ("frames", frames, limits.max_frames),
        ("rows x columns x frames", rows * columns * frames, limits.max_total_pixels),
        ("decoded bytes of a frame", rows * columns * samples * max(bits // 8, 1), limits.max_frame_bytes),
    ):
        if value > cap:
            raise Fault(
                f"{name} {value} exceed the limit of {cap}", "the header is damaged; or raise the field of Limits"
            )
    return PixelLayout(
        rows=rows,
        columns=columns,
        frames=frames,
        samples=samples,
        photometric=photometric,
        planar=samples == 3 and integer(dataset, "PlanarConfiguration", 0, 0, 1) == 1,
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=high,
        signed=integer(dataset, "PixelRepresentation", 0, 0, 1) == 1,
    )
