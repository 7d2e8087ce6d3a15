"""What a beam meets: echo strength, loss and blood flow on the polar grid, painted shape by shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fetal_monai.data.phantom import shapes
from fetal_monai.data.phantom.geometry import Sector
from fetal_monai.data.phantom.shapes import Point
from fetal_monai.data.phantom.types import FloatArray

# Mean echo of tissues, dB above soft tissue. Fluid scatters almost nothing, bone almost everything.
FLUID, BLOOD, BRAIN, MUSCLE, SOFT, LUNG, PLACENTA, WALL, BONE = -42.0, -36.0, -13.0, -9.0, 0.0, 2.0, 5.0, 11.0, 19.0
# Loss beyond what time gain compensation expects, dB per mm there and back. Fluid loses less: enhancement behind it.
FLUID_LOSS, BONE_LOSS = -0.16, 6.0


class Canvas:
    """Maps of the body in the field of view of one frame, all (samples, lines) float32.

    Attributes:
        echo: scattering strength, dB.
        loss: extra attenuation, dB per mm.
        grain: slow variation of the echo strength of all tissue, dB.
        flow: blood velocity towards the probe, -1 to 1.
        doppler: whether the operator has switched colour Doppler on; `box` is then its window as
            (first depth mm, last depth mm, first fraction of the field of view, last fraction).
    """

    def __init__(self, sector: Sector) -> None:
        self.sector = sector
        self.x, self.z = sector.grid
        self.echo = np.zeros(sector.shape, np.float32)
        self.loss = np.zeros(sector.shape, np.float32)
        self.flow = np.zeros(sector.shape, np.float32)
        self.grain = np.zeros(sector.shape, np.float32)
        self.doppler = False
        self.box = (0.0, 0.0, 0.0, 0.0)

    def blend(self, mask: FloatArray, echo: float | FloatArray, loss: float | None = None) -> None:
        """Paint `echo` (and `loss`) where `mask` is 1, mixing where it is between 0 and 1."""
        self.echo += mask * (echo - self.echo)
        if loss is not None:
            self.loss += mask * (np.float32(loss) - self.loss)

    def finish(self) -> None:
        """Give tissue its grain; fluid stays smooth."""
        self.echo += self.grain * np.clip((self.echo + 30) / 15, 0, 1)


@dataclass(frozen=True)
class Pose:
    """Where an anatomy lies: at `centre` (mm), turned by `angle`, magnified by `scale`, mirrored (`flip`, `invert`)."""

    centre: Point
    angle: float
    scale: float
    flip: bool
    invert: bool = False
    bend: tuple[float, ...] = (0.0,) * 8

    def local(self, x: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coordinates of the anatomy itself, mm; `bend` keeps outlines imperfect.

        It holds amplitude (mm) and phase of a slow and of a quick wave, for either direction.
        """
        u, v = shapes.turned(x, z, self.centre, self.angle)
        u, v = (
            u / np.float32(-self.scale if self.flip else self.scale),
            v / np.float32(-self.scale if self.invert else self.scale),
        )
        slow, quick = np.float32(2 * math.pi / 75), np.float32(2 * math.pi / 23)
        a, b, c, d, e, f, g, h = (np.float32(value) for value in self.bend)
        return (
            u + a * np.sin(v * slow + b) + c * np.sin((v + u) * quick + d),
            v + e * np.sin(u * slow + f) + g * np.sin((u - v) * quick + h),
        )


class Sketch:
    """Draws one anatomy, in its own coordinates `u` (right) and `v` (down), mm, onto a canvas.

    Args:
        canvas: what is drawn on.
        pose: where the anatomy lies.
        presence: 1 in the ideal plane, less as the plane moves away from it.
    """

    def __init__(self, canvas: Canvas, pose: Pose, presence: float = 1.0) -> None:
        self.canvas, self.pose, self.presence = canvas, pose, np.float32(presence)
        self.u, self.v = pose.local(canvas.x, canvas.z)

    def posed(self, **changes: object) -> Sketch:
        """Return a sketch on the same canvas with parts of the pose changed."""
        return Sketch(self.canvas, replace(self.pose, **changes), float(self.presence))  # type: ignore[arg-type]

    def fill(
        self, distance: FloatArray, echo: float | FloatArray, *, loss: float | None = None, soft: float = 0.8
    ) -> None:
        """Fill the inside of a shape; its edge is `soft` mm wide."""
        mask = np.clip(np.float32(0.5) - distance / np.float32(soft), 0, 1) * self.presence
        self.canvas.blend(mask, echo, loss)

    def fluid(self, distance: FloatArray, *, echo: float = FLUID, soft: float = 0.8) -> None:
        """Fill a shape with fluid: dark, and brighter tissue behind it."""
        self.fill(distance, echo, loss=FLUID_LOSS, soft=soft)

    def shell(
        self, distance: FloatArray, thickness: float, echo: float, *, loss: float | None = None, drop: float = 14.0
    ) -> None:
        """Draw the outline of a shape as a mirror: `drop` dB weaker where the beam runs along it."""
        across = np.abs(np.gradient(distance, axis=0)) / np.float32(self.canvas.sector.mm_per_sample / self.pose.scale)
        level = np.float32(echo) - np.float32(drop) * (1 - np.clip(across, 0, 1))
        rim = np.abs(distance) - np.float32(thickness / 2)
        mask = np.clip(np.float32(0.5) - rim / np.float32(0.7), 0, 1) * self.presence
        self.canvas.blend(mask, np.maximum(level, self.canvas.echo), loss)

    def bone(self, distance: FloatArray, *, echo: float = BONE, loss: float = BONE_LOSS) -> None:
        """Fill a shape with bone: bright, with a shadow behind it."""
        self.fill(distance, echo, loss=loss, soft=0.7)

    def vessel(self, distance: FloatArray, *, wall: float = WALL, thickness: float = 1.0) -> None:
        """Fill a shape with blood and give it a bright wall."""
        self.shell(distance, thickness, wall, drop=6)
        self.fill(distance + np.float32(thickness / 2), BLOOD, loss=0.0, soft=0.6)

    def blood(self, distance: FloatArray, velocity: float | FloatArray) -> None:
        """Set the blood velocity (-1 to 1) inside a shape; colour Doppler shows it."""
        mask = np.clip(np.float32(0.5) - distance / np.float32(1.2), 0, 1) * self.presence
        self.canvas.flow += mask * (velocity - self.canvas.flow)

    def doppler(self, half_depth: float, half_width: float) -> None:
        """Switch colour Doppler on in a window around the anatomy, half sizes in its own mm."""
        sector, scale = self.canvas.sector, self.pose.scale
        x, z = self.pose.centre
        r = math.hypot(x, z + sector.probe.radius_mm)
        middle, depth = math.atan2(x, z + sector.probe.radius_mm), r - sector.probe.radius_mm
        spread = half_width * scale / r
        first = (middle - spread) / sector.probe.half_angle / 2 + 0.5
        last = (middle + spread) / sector.probe.half_angle / 2 + 0.5
        self.canvas.doppler = True
        self.canvas.box = (
            max(depth - half_depth * scale, 2.0),
            min(depth + half_depth * scale, sector.probe.depth_mm - 2),
            max(first, 0.02),
            min(last, 0.98),
        )
