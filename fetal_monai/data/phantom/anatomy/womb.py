"""What every image shares: the mother's abdominal wall, the womb and its fluid, drawn before the fetus."""

from __future__ import annotations

import numpy as np

from fetal_monai.data.phantom import shapes
from fetal_monai.data.phantom.canvas import FLUID, FLUID_LOSS, SOFT, WALL, Canvas
from fetal_monai.data.phantom.types import FloatArray


def texture(canvas: Canvas, rng: np.random.Generator, spread: float = 2.5) -> FloatArray:
    """Slow variation of the echo strength, dB, at two scales."""
    shape = canvas.sector.shape
    return np.float32(spread) * (
        shapes.smooth_field(shape, (7, 6), rng) * np.float32(0.8) + shapes.smooth_field(shape, (24, 14), rng)
    )


def draw_womb(canvas: Canvas, maternal_mm: float, shift: tuple[float, float], rng: np.random.Generator) -> None:
    """Paint the layers in front of the womb, its fluid and the tissue behind it.

    Args:
        canvas: an empty canvas.
        maternal_mm: thickness of the tissue between the probe and the womb.
        shift: movement of the probe against the body, mm.
        rng: the same state gives the same womb.
    """
    depth = canvas.sector.probe.depth_mm
    x, z = canvas.x - np.float32(shift[0]), canvas.z - np.float32(shift[1])
    canvas.grain += texture(canvas, rng)
    canvas.echo += SOFT - 5

    # A pocket of amniotic fluid, its wall wavy.
    front = maternal_mm + float(rng.uniform(2, 8))
    back = depth * float(rng.uniform(0.78, 0.92))
    centre = (float(rng.normal(0, 8)), (front + back) / 2)
    wavy = np.float32(2.0) * shapes.smooth_field(canvas.sector.shape, (5, 5), rng)
    pocket = shapes.ellipse(x, z, centre, (depth * float(rng.uniform(0.45, 0.75)), (back - front) / 2)) + wavy
    canvas.blend(np.clip(0.5 - (np.abs(pocket) - 1.2), 0, 1), WALL - 6)
    canvas.blend(np.clip(0.5 - pocket, 0, 1), FLUID, FLUID_LOSS * 0.35)

    # Skin, fat and muscle: layers that follow the probe's face.
    along = np.hypot(x, z + np.float32(canvas.sector.probe.radius_mm)) - np.float32(canvas.sector.probe.radius_mm)
    along = along + np.float32(0.8) * shapes.smooth_field(canvas.sector.shape, (3, 5), rng)
    pitch, phase = float(rng.uniform(3.5, 6.0)), float(rng.uniform(0, 6.3))
    layers = 2 + 7 * np.sin(along * np.float32(2 * np.pi / pitch) + np.float32(phase))
    canvas.blend(np.clip((np.float32(maternal_mm) - along) / 2, 0, 1), layers, 0.0)
    _lose_contact(canvas, rng)


def _lose_contact(canvas: Canvas, rng: np.random.Generator) -> None:
    # Poor contact, a scar or a rib of the mother: beams that are weak all the way down.
    across = np.linspace(0, 1, canvas.sector.shape[1], dtype=np.float32)
    near = slice(0, round(6 / canvas.sector.mm_per_sample))
    for _ in range(int(rng.choice((0, 1, 2), p=(0.6, 0.3, 0.1)))):
        middle, width, decibel = rng.uniform(0, 1), rng.uniform(0.02, 0.07), rng.uniform(5, 16)
        dip = np.exp(-np.square((across - np.float32(middle)) / np.float32(width)))
        canvas.loss[near] += np.float32(decibel / 6) * dip
