"""The head: two transverse planes, the mid-sagittal profile and the face from the front."""

from __future__ import annotations

import numpy as np

from fetal_monai.data.phantom import shapes
from fetal_monai.data.phantom.canvas import BONE, BRAIN, FLUID, MUSCLE, SOFT, WALL, Sketch
from fetal_monai.data.phantom.types import FloatArray


def draw_skull(sketch: Sketch, rng: np.random.Generator) -> tuple[FloatArray, tuple[float, float]]:
    """Draw the skull's ellipse and the brain in it; return the outline's distance and the half axes."""
    half = float(rng.uniform(41, 46)), float(rng.uniform(31, 35))
    outline = shapes.ellipse(sketch.u, sketch.v, (0, 0), half)
    sketch.fill(outline - np.float32(2.5), SOFT)
    sketch.fill(outline, BRAIN, loss=0.0)
    sketch.shell(outline, 2.6, BONE + 1, loss=0.9)
    return outline, half


def _midline(sketch: Sketch, start: float, end: float) -> None:
    sketch.shell(shapes.segment(sketch.u, sketch.v, (start, 0), (end, 0)), 1.3, WALL + 1, drop=7)


def _cavum(sketch: Sketch, at: float) -> None:
    # The cavum septi pellucidi: a small dark box that interrupts the midline.
    walls = shapes.box(sketch.u, sketch.v, (at, 0), (5.0, 3.4))
    sketch.fluid(walls)
    sketch.shell(walls, 1.2, WALL + 3, drop=5)


def draw_head_cavum(sketch: Sketch, rng: np.random.Generator) -> None:
    """Skull, midline broken by the cavum in front, paired dark thalami, the tectum behind them."""
    u, v = sketch.u, sketch.v
    _, (a, _b) = draw_skull(sketch, rng)
    _midline(sketch, -a + 3, a - 3)
    front = -0.5 * a
    _cavum(sketch, front)
    for side in (-1, 1):
        sketch.fill(shapes.ellipse(u, v, (-1, side * 6.8), (9.5, 6.0), side * 0.25), BRAIN - 14)
        sketch.fill(np.abs(shapes.ellipse(u, v, (-1, side * 6.8), (9.5, 6.0), side * 0.25)) - np.float32(0.5), SOFT)
        horn = [(front - 6, side * 5), (front - 13, side * 11)]
        sketch.fill(shapes.polyline(u, v, horn, 1.3), FLUID + 14)
        sketch.shell(shapes.segment(u, v, (8, side * 19), (26, side * 15)), 1.2, WALL - 5, drop=6)  # the insula
    tectum = [(13, -5.5), (18, -4), (20, 0), (18, 4), (13, 5.5)]
    sketch.fill(shapes.polyline(u, v, tectum, 1.3), WALL + 2)


def draw_head_cerebellum(sketch: Sketch, rng: np.random.Generator) -> None:
    """Skull, cavum in front, the cerebellum's butterfly behind and the dark cisterna magna at the back."""
    u, v = sketch.u, sketch.v
    outline, (a, _b) = draw_skull(sketch, rng)
    _midline(sketch, -a + 3, 8)
    _cavum(sketch, -0.55 * a)
    at = a * float(rng.uniform(0.42, 0.5))
    cistern = np.maximum(outline + 2.5, shapes.ellipse(u, v, (a, 0), (a - at + 2, 17)))
    sketch.fluid(cistern)
    for side in (-1, 1):
        lobe = shapes.ellipse(u, v, (at, side * 9.0), (7.0, 9.5), side * 0.2)
        sketch.fill(lobe, BRAIN + 7)
        sketch.shell(lobe, 1.5, WALL + 4, drop=4)
    sketch.fill(shapes.ellipse(u, v, (at, 0), (5.0, 3.2)), WALL + 2)  # the vermis
    for side in (-1, 1):  # thalami, smaller than in the plane above
        sketch.fill(shapes.ellipse(u, v, (-4, side * 6), (7.5, 5)), BRAIN - 9)


def draw_head_sagittal(sketch: Sketch, rng: np.random.Generator) -> None:
    """The profile: forehead, nose, lips and chin against the fluid, the corpus callosum's arc inside."""
    u, v = sketch.u, sketch.v
    nose = float(rng.uniform(0.9, 1.15))
    # The face looks up, towards the probe; the crown lies at the left.
    profile = [
        (-42.0, 8.0), (-39.0, -8.0), (-30.0, -19.0), (-16.0, -25.0), (-4.0, -25.0), (2.0, -22.0),
        (6.0, -25.0), (11.0, -24.0 - 8 * nose), (14.0, -31.0 * nose), (15.0, -22.5), (18.0, -22.0), (20.5, -26.0),
        (23.0, -22.0), (25.5, -25.0), (28.0, -20.5), (32.0, -23.5), (36.0, -20.0), (37.0, -13.0), (33.0, -4.0),
        (40.0, 6.0), (44.0, 26.0), (14.0, 30.0), (0.0, 32.0), (-22.0, 30.0), (-37.0, 22.0),
    ]  # fmt: skip
    head = shapes.polygon(u, v, profile)
    clear = shapes.polygon(u, v, [(-52, -4), (-34, -34), (16, -46), (50, -32), (48, -2), (0, 0)])
    sketch.fluid(clear, soft=4)
    sketch.fill(head, SOFT - 2, loss=0.0)
    sketch.shell(head, 1.4, WALL, drop=8)
    vault = shapes.ellipse(u, v, (-13, 4), (27, 25))
    sketch.fill(vault, BRAIN)
    frontal = np.maximum(np.abs(vault) - np.float32(1.3), v - np.float32(10))
    sketch.bone(np.maximum(frontal, u - np.float32(4)), loss=0.8)
    callosum = shapes.ellipse(u, v, (-13, 6), (15, 11))
    sketch.fill(np.maximum(np.abs(callosum) - np.float32(2.0), v - np.float32(7)), FLUID + 14)
    sketch.fill(np.maximum(np.abs(callosum - 2.6) - np.float32(0.7), v - np.float32(7)), WALL + 2)
    sketch.bone(shapes.segment(u, v, (5, -20), (11, -25), 1.1), loss=1.0)  # the nasal bone
    sketch.bone(shapes.polyline(u, v, [(13, -14), (26, -15)], 1.1), loss=1.2)  # palate
    sketch.bone(shapes.polyline(u, v, [(24, -8), (33, -14)], 1.3), loss=1.2)  # mandible


def draw_nasal_triangle(sketch: Sketch, rng: np.random.Generator) -> None:
    """The face from the front: a bright triangle of nasal bones and palate between two dark orbits."""
    u, v = sketch.u, sketch.v
    face = shapes.ellipse(u, v, (0, 2), (34, 40))
    sketch.fill(face, SOFT - 3)
    sketch.shell(face, 1.6, WALL - 2)
    width, height = float(rng.uniform(14, 18)), float(rng.uniform(22, 27))
    apex, base = (0.0, -10.0), -10.0 + height
    for side in (-1, 1):
        orbit = shapes.ellipse(u, v, (side * 18, -11), (8.5, 7.5))
        sketch.fluid(orbit)
        sketch.shell(orbit, 1.5, BONE - 3, drop=6)
        sketch.fill(np.abs(shapes.ellipse(u, v, (side * 18, -11), (3.0, 3.0))) - np.float32(0.4), WALL - 16)  # the lens
    triangle = shapes.polygon(u, v, [apex, (width, base), (-width, base)])
    sketch.fill(triangle, MUSCLE - 6)
    sketch.bone(np.abs(triangle) - np.float32(1.3), echo=BONE + 1, loss=0.7)
    for side in (-1, 1):
        sketch.fill(shapes.ellipse(u, v, (side * 4.2, base - 7), (1.9, 2.8)), FLUID)  # nostrils
    for k in range(-3, 4):  # tooth buds
        sketch.fill(shapes.ellipse(u, v, (k * 4.0, base + 4 - 0.25 * k * k), (1.4, 1.8)), FLUID + 12)
    mouth = shapes.ellipse(u, v, (0, base + 11), (10, 3))
    sketch.fill(mouth, MUSCLE - 12)
    sketch.shell(mouth, 1.1, WALL)
