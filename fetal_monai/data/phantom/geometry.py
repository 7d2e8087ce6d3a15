"""The geometry of a convex probe: from polar samples (depth, beam) to the pixels of the screen and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import cv2
import numpy as np

from fetal_monai.data.phantom.types import FloatArray, UInt8Array

ArrayT = TypeVar("ArrayT", FloatArray, UInt8Array)

BANNER_FRACTION = 0.08  # the recipe blanks rows 0-67 of 852: the banner lives there and the sector below it
_TOP, _BOTTOM, _WIDTH = 0.095, 0.955, 0.90  # the part of the screen that the sector may fill


@dataclass(frozen=True)
class ConvexProbe:
    """A curved array.

    Args:
        radius_mm: radius of curvature of the transducer's face.
        half_angle: half of the field of view, radians.
        depth_mm: depth shown, from the face along a beam.
    """

    radius_mm: float
    half_angle: float
    depth_mm: float


@dataclass(frozen=True)
class Sector:
    """Where a convex probe's field of view lies on a screen of `rows` x `cols` pixels, and the scan conversion to it.

    Positions in the body are `x` (lateral, to the right, mm) and `z` (mm below the middle of the transducer's face).
    Polar arrays are (samples, lines): samples run down a beam, lines from the left beam to the right one.

    Example:
        >>> sector = Sector(ConvexProbe(radius_mm=50, half_angle=0.6, depth_mm=120), rows=480, cols=640)
        >>> x, z = sector.to_mm(*sector.to_pixel(10.0, 60.0))
        >>> round(x, 3), round(z, 3)
        (10.0, 60.0)
    """

    probe: ConvexProbe
    rows: int
    cols: int

    @cached_property
    def mm_per_pixel(self) -> float:
        """Size of a (square) pixel: the largest scale at which the whole sector fits on the screen."""
        probe = self.probe
        reach = probe.radius_mm + probe.depth_mm
        height = reach - probe.radius_mm * math.cos(probe.half_angle)
        width = 2 * reach * math.sin(probe.half_angle)
        return max(height / ((_BOTTOM - _TOP) * self.rows), width / (_WIDTH * self.cols))

    @cached_property
    def face_pixel(self) -> tuple[float, float]:
        """(column, row) of the middle of the transducer's face: the origin of `x` and `z`."""
        sag = self.probe.radius_mm * (1 - math.cos(self.probe.half_angle))
        return self.cols / 2, _TOP * self.rows + sag / self.mm_per_pixel

    @property
    def shape(self) -> tuple[int, int]:
        """(samples, lines) of the polar arrays: about one sample per pixel, one line per 2.7 columns."""
        return round(0.8 * self.rows), round(0.37 * self.cols)

    @property
    def mm_per_sample(self) -> float:
        """Distance between two samples of a beam."""
        return self.probe.depth_mm / (self.shape[0] - 1)

    def to_pixel(self, x: float, z: float) -> tuple[float, float]:
        """Return the (column, row) of a position in mm."""
        col, row = self.face_pixel
        return col + x / self.mm_per_pixel, row + z / self.mm_per_pixel

    def to_mm(self, col: float, row: float) -> tuple[float, float]:
        """Return the (x, z) in mm of a pixel."""
        col0, row0 = self.face_pixel
        return (col - col0) * self.mm_per_pixel, (row - row0) * self.mm_per_pixel

    def polar_to_pixel(self, depth: float, fraction: float) -> tuple[float, float]:
        """Return the (column, row) at `depth` mm along the beam at `fraction` (0 left, 1 right) of the sector."""
        angle = (2 * fraction - 1) * self.probe.half_angle
        r = self.probe.radius_mm + depth
        return self.to_pixel(r * math.sin(angle), r * math.cos(angle) - self.probe.radius_mm)

    @cached_property
    def grid(self) -> tuple[FloatArray, FloatArray]:
        """`x` and `z` (mm) of every polar sample, each (samples, lines)."""
        samples, lines = self.shape
        r = np.linspace(0, self.probe.depth_mm, samples, dtype=np.float32)[:, None] + np.float32(self.probe.radius_mm)
        angle = np.linspace(-self.probe.half_angle, self.probe.half_angle, lines, dtype=np.float32)[None]
        return r * np.sin(angle), r * np.cos(angle) - np.float32(self.probe.radius_mm)

    @cached_property
    def _maps(self) -> tuple[FloatArray, FloatArray]:
        lines = self.shape[1]
        col0, row0 = self.face_pixel
        x = (np.arange(self.cols, dtype=np.float32)[None] - np.float32(col0)) * np.float32(self.mm_per_pixel)
        z = (np.arange(self.rows, dtype=np.float32)[:, None] - np.float32(row0)) * np.float32(self.mm_per_pixel)
        z = z + np.float32(self.probe.radius_mm)
        shape = (self.rows, self.cols)
        r, angle = cv2.cartToPolar(np.broadcast_to(z, shape).copy(), np.broadcast_to(x, shape).copy())
        angle = np.where(angle > np.pi, angle - np.float32(2 * np.pi), angle)
        line = (angle / self.probe.half_angle + 1) * (lines - 1) / 2
        sample = (r - self.probe.radius_mm) / self.mm_per_sample
        return line.astype(np.float32), sample.astype(np.float32)

    @cached_property
    def mask(self) -> UInt8Array:
        """(rows, cols): 255 inside the sector, 0 outside."""
        line, sample = self._maps
        inside = (line >= 0) & (line <= self.shape[1] - 1) & (sample >= 0) & (sample <= self.shape[0] - 1)
        return np.where(inside, 255, 0).astype(np.uint8)

    @cached_property
    def bounds(self) -> tuple[int, int, int, int]:
        """(min column, min row, max column, max row) of the sector, inclusive, as DICOM's region location has it."""
        cols, rows = np.flatnonzero(self.mask.any(axis=0)), np.flatnonzero(self.mask.any(axis=1))
        return int(cols[0]), int(rows[0]), int(cols[-1]), int(rows[-1])

    def scan_convert(self, polar: ArrayT) -> ArrayT:
        """Bring a polar array (samples, lines) to the screen (rows, cols), zero outside of the sector."""
        line, sample = self._maps
        screen: Any = cv2.remap(polar, line, sample, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        screen[self.mask == 0] = 0
        return cast("ArrayT", screen)
