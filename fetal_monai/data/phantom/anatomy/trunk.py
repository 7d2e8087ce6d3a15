"""Transverse planes of the abdomen and the pelvis."""

from __future__ import annotations

import math

import numpy as np

from fetal_monai.data.phantom import shapes
from fetal_monai.data.phantom.canvas import BONE, FLUID, MUSCLE, SOFT, WALL, Sketch
from fetal_monai.data.phantom.types import FloatArray


def trunk_outline(sketch: Sketch, half: tuple[float, float], *, ribs: bool = False) -> FloatArray:
    """Draw the round trunk in fluid, its skin bright; with `ribs`, the chest wall. Return the outline's distance."""
    outline = shapes.ellipse(sketch.u, sketch.v, (0, 0), half)
    sketch.fill(outline, SOFT, loss=0.0)
    sketch.shell(outline, 1.8, WALL + 2, drop=9)
    if ribs:
        for side in (-1, 1):
            for start in (0.35, 1.25):
                angle = np.linspace(start, start + 0.6, 4) - math.pi / 2
                arc = [(side * half[0] * 0.9 * math.cos(a), half[1] * 0.9 * math.sin(a)) for a in angle]
                sketch.bone(shapes.polyline(sketch.u, sketch.v, arc, 1.0), echo=BONE - 2, loss=1.0)
    return outline


def cross_cut_spine(sketch: Sketch, at: tuple[float, float], size: float = 1.0) -> None:
    """Draw a vertebra cut across: three bright points around the dark canal, a shadow behind."""
    u, v = sketch.u, sketch.v
    sketch.fill(shapes.ellipse(u, v, at, (5.5 * size, 5.5 * size)), MUSCLE - 8)
    for angle in (math.pi / 2, math.pi * 7 / 6, math.pi * 11 / 6):
        point = (at[0] + 5.0 * size * math.cos(angle), at[1] - 5.0 * size * math.sin(angle))
        sketch.bone(shapes.ellipse(u, v, point, (2.3 * size, 1.8 * size)), loss=3.0)


def draw_stomach(sketch: Sketch, rng: np.random.Generator) -> None:
    """The round abdomen with the stomach's one dark bubble, the umbilical vein's hockey stick and the spine."""
    u, v = sketch.u, sketch.v
    half = float(rng.uniform(36, 41)), float(rng.uniform(33, 38))
    trunk_outline(sketch, half)
    cross_cut_spine(sketch, (half[0] - 9, 2))
    bubble = shapes.ellipse(
        u, v, (float(rng.uniform(-2, 5)), 15), (float(rng.uniform(8.5, 13)), float(rng.uniform(6.5, 9))), 0.3
    )
    sketch.fluid(bubble)
    sketch.shell(bubble, 1.1, WALL - 3)
    vein = shapes.polyline(u, v, [(-half[0] * 0.62, -3), (-10, -3), (-4, -7)], 1.9)
    sketch.fill(vein, FLUID + 8)
    sketch.shell(vein, 0.9, WALL - 3)
    sketch.fluid(shapes.ellipse(u, v, (half[0] - 20, 3.5), (2.2, 2.2)), echo=FLUID + 6)  # the aorta


def draw_bladder(sketch: Sketch, rng: np.random.Generator) -> None:
    """The pelvis with the dark bladder, and the two umbilical arteries around it in colour."""
    u, v = sketch.u, sketch.v
    half = float(rng.uniform(33, 38)), float(rng.uniform(28, 32))
    trunk_outline(sketch, half)
    for side in (-1, 1):  # the iliac wings
        wing = [(13, side * 13), (19, side * 19)]
        sketch.bone(shapes.polyline(u, v, wing, 1.4), loss=2.0)
    length, width = float(rng.uniform(9, 13)), float(rng.uniform(6, 9))
    bladder = shapes.ellipse(u, v, (-4, 0), (length, width))
    sketch.fluid(bladder)
    sketch.shell(bladder, 1.2, WALL - 2)
    direction = 1 if rng.random() < 0.5 else -1
    for side in (-1, 1):
        arc = [(-half[0] + 3, side * 1.8), (-length - 4, side * width * 0.75), (-4, side * (width + 3.4)),
               (length - 4, side * (width + 3.4)), (length + 6, side * (width + 7))]  # fmt: skip
        vessel = shapes.polyline(u, v, arc, 1.9)
        sketch.fill(vessel, FLUID + 10)
        sketch.blood(vessel, direction * side * float(rng.uniform(0.75, 1.0)))
    sketch.doppler(24, 32)


def draw_kidneys(sketch: Sketch, rng: np.random.Generator) -> None:
    """Two ovals with dark rims and bright middles, one at either side of the spine."""
    u, v = sketch.u, sketch.v
    half = float(rng.uniform(37, 42)), float(rng.uniform(34, 38))
    trunk_outline(sketch, half)
    top = -half[1] + 12
    cross_cut_spine(sketch, (0, top), 1.15)
    for side in (-1, 1):
        centre = (side * float(rng.uniform(16, 19)), top + float(rng.uniform(5, 9)))
        size = float(rng.uniform(8.8, 10.5)), float(rng.uniform(7.3, 8.8))
        kidney = shapes.ellipse(u, v, centre, size, side * 0.4)
        sketch.shell(kidney, 1.5, WALL - 2, drop=5)
        sketch.fill(kidney, MUSCLE - 15)
        sketch.fill(shapes.ellipse(u, v, centre, (size[0] * 0.5, size[1] * 0.45), side * 0.4), WALL - 4)
        sketch.fill(shapes.ellipse(u, v, centre, (size[0] * 0.25, size[1] * 0.2), side * 0.4), FLUID + 6)
    sketch.fill(shapes.ellipse(u, v, (0, top + 17), (2.4, 2.4)), FLUID + 6)  # the aorta


def draw_cord_insertion(sketch: Sketch, rng: np.random.Generator) -> None:
    """The cord's parallel vessels leaving the front wall of the abdomen into the fluid."""
    u, v = sketch.u, sketch.v
    sketch.fluid(shapes.ellipse(u, v, (-26, 0), (32, 27)), soft=6)
    shifted = sketch.u - np.float32(18)
    half = float(rng.uniform(30, 34)), float(rng.uniform(29, 33))
    body = shapes.ellipse(shifted, v, (0, 0), half)
    sketch.fill(body, SOFT, loss=0.0)
    sketch.shell(body, 2.0, WALL + 2, drop=8)
    cross_cut_spine(sketch, (18 + half[0] - 9, 0))
    entry, lift = 18 - half[0], float(rng.uniform(-12, 12))
    path = [
        (entry + 9.0, 0.0),
        (entry - 1, 0.0),
        (entry - 14, lift * 0.4),
        (entry - 28, lift),
        (entry - 40, lift * 2.2),
    ]
    sketch.fill(shapes.polyline(u, v, path[1:], 6.0), MUSCLE - 3, soft=2)
    velocity = 1 if rng.random() < 0.5 else -1
    for offset in (-3.3, 3.3):
        tube = shapes.polyline(u, v, [(p, q + offset) for p, q in path], 2.0)
        sketch.vessel(tube, wall=WALL + 3)
        sketch.blood(tube, 0.9 * velocity * (1 if offset > 0 else -1))
    if rng.random() < 0.25:
        sketch.doppler(20, 40)
