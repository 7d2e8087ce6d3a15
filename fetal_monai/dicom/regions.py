"""Ultrasound regions as typed objects: what lies where in the frame, and what a pixel means (PS3.3 C.8.5.5)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from pydicom import Dataset


class SpatialFormat(IntEnum):
    """RegionSpatialFormat (0018,6012): how the region's data are laid out."""

    NONE = 0
    TWO_D = 1
    M_MODE = 2
    SPECTRAL = 3
    WAVEFORM = 4
    GRAPHICS = 5
    OTHER = -1


class DataType(IntEnum):
    """RegionDataType (0018,6014): what the region shows."""

    NONE = 0
    TISSUE = 1
    COLOUR_FLOW = 2
    PW_DOPPLER = 3
    CW_DOPPLER = 4
    DOPPLER_MEAN = 5
    DOPPLER_MODE = 6
    DOPPLER_MAXIMUM = 7
    VOLUME_FLOW = 8
    D_MODE_OTHER = 9
    ECG = 10
    PULSE = 11
    PHONOCARDIOGRAM = 12
    GREY_BAR = 13
    COLOUR_BAR = 14
    BACKSCATTER = 15
    AREA_TRACE = 16
    AREA_DERIVATIVE = 17
    OTHER = -1


_CENTIMETRE = 3
_STRIPS = frozenset({DataType.GREY_BAR, DataType.COLOUR_BAR})
_TRACES = frozenset({DataType.ECG, DataType.PULSE, DataType.PHONOCARDIOGRAM})


@dataclass(frozen=True)
class Region:
    """One ultrasound region of the frame.

    Args:
        spatial_format: layout of the data.
        data_type: what is shown.
        left: first column (x0).
        top: first row (y0).
        right: last column (x1), included.
        bottom: last row (y1), included.
        units_x: code of PhysicalUnitsXDirection: 3 is cm, 4 seconds, 5 hertz, 7 cm/s, 0 none.
        units_y: code of PhysicalUnitsYDirection.
        delta_x: physical units per pixel to the right; its sign is the direction.
        delta_y: physical units per pixel downwards.
        flags: RegionFlags.

    Example:
        >>> region = Region(SpatialFormat.TWO_D, DataType.TISSUE, 10, 20, 109, 219, 3, 3, 0.02, 0.03)
        >>> region.kind, region.width, region.height, region.spacing_mm
        ('tissue', 100, 200, (0.3, 0.2))
    """

    spatial_format: SpatialFormat
    data_type: DataType
    left: int
    top: int
    right: int
    bottom: int
    units_x: int = 0
    units_y: int = 0
    delta_x: float = 0.0
    delta_y: float = 0.0
    flags: int = 0

    @property
    def width(self) -> int:
        """Columns that it spans."""
        return self.right - self.left + 1

    @property
    def height(self) -> int:
        """Rows that it spans."""
        return self.bottom - self.top + 1

    @property
    def kind(self) -> str:
        """One word: tissue, colour, m-mode, doppler, trace, strip, graphics or other.

        "tissue" and "colour" are 2D pictures (colour flow on tissue included), "strip" is a grey or colour bar, "trace"
        an ECG or the like. A rendered 3D view declares no 2D format or no unit of length: it is "3d".
        """
        if self.data_type in _STRIPS:
            return "strip"
        if self.data_type in _TRACES or self.spatial_format == SpatialFormat.WAVEFORM:
            return "trace"
        by_format = {
            SpatialFormat.M_MODE: "m-mode",
            SpatialFormat.SPECTRAL: "doppler",
            SpatialFormat.GRAPHICS: "graphics",
        }
        if self.spatial_format in by_format:
            return by_format[self.spatial_format]
        pictures = {DataType.TISSUE: "tissue", DataType.COLOUR_FLOW: "colour"}
        if self.spatial_format == SpatialFormat.TWO_D and self.data_type in pictures:
            return pictures[self.data_type] if self.spacing_mm else "3d"
        return "other"

    @property
    def is_picture(self) -> bool:
        """Whether it shows anatomy as a picture, in 2D or rendered from 3D."""
        return self.kind in {"tissue", "colour", "3d"}

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """(row, column) spacing in millimetres, or None where the axes are not both lengths."""
        lengths = self.units_x == _CENTIMETRE == self.units_y
        if not lengths or not all(math.isfinite(delta) and delta for delta in (self.delta_x, self.delta_y)):
            return None
        return round(abs(self.delta_y) * 10, 9), round(abs(self.delta_x) * 10, 9)

    def clipped(self, rows: int, columns: int) -> tuple[int, int, int, int] | None:
        """(top, bottom, left, right) within a frame, ends excluded; None where nothing of it is inside."""
        top, bottom = max(self.top, 0), min(self.bottom + 1, rows)
        left, right = max(self.left, 0), min(self.right + 1, columns)
        return (top, bottom, left, right) if top < bottom and left < right else None


def read_regions(dataset: Dataset) -> tuple[Region, ...]:
    """The regions that a header declares; items without usable corners are left out.

    Args:
        dataset: a header with SequenceOfUltrasoundRegions, or without.

    Returns:
        The regions in the file's order.
    """
    regions = (_region(item) for item in dataset.get("SequenceOfUltrasoundRegions") or ())
    return tuple(region for region in regions if region is not None)


def _region(item: Dataset) -> Region | None:
    try:
        left, top, right, bottom = (
            int(item[f"RegionLocation{name}"].value) for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")
        )
        region = Region(
            spatial_format=_code(SpatialFormat, item.get("RegionSpatialFormat")),
            data_type=_code(DataType, item.get("RegionDataType")),
            left=left,
            top=top,
            right=right,
            bottom=bottom,
            units_x=int(item.get("PhysicalUnitsXDirection") or 0),
            units_y=int(item.get("PhysicalUnitsYDirection") or 0),
            delta_x=float(item.get("PhysicalDeltaX") or 0.0),
            delta_y=float(item.get("PhysicalDeltaY") or 0.0),
            flags=int(item.get("RegionFlags") or 0),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return region if left <= right and top <= bottom else None


def _code(kind: Any, value: Any) -> Any:
    try:
        return kind(int(value or 0))
    except (TypeError, ValueError):
        return kind.OTHER


def main_picture(regions: Iterable[Region]) -> Region | None:
    """The largest region that shows anatomy, or None: the picture that a classifier should see."""
    pictures = [region for region in regions if region.is_picture]
    return max(pictures, key=lambda region: region.width * region.height, default=None)


def regions_to_text(regions: Iterable[Region]) -> str:
    """Regions as JSON: a string, because MONAI's collation stacks metadata and cannot stack lists of unequal length."""
    return json.dumps([asdict(region) for region in regions])


def regions_from_meta(meta: Mapping[str, Any]) -> tuple[Region, ...]:
    """The regions that `UltrasoundReader` left in the metadata of a `MetaTensor`.

    Args:
        meta: `image.meta`.

    Returns:
        The regions, in the pixels of the frame as it was read.

    Example:
        >>> region = Region(SpatialFormat.TWO_D, DataType.TISSUE, 1, 2, 3, 4)
        >>> regions_from_meta({"regions": regions_to_text([region])}) == (region,)
        True
    """
    items = json.loads(meta.get("regions") or "[]")
    return tuple(
        Region(
            **{
                **item,
                "spatial_format": SpatialFormat(item["spatial_format"]),
                "data_type": DataType(item["data_type"]),
            }
        )
        for item in items
    )
