"""Transverse planes of the chest: the four chambers, and the three vessels above them."""

from __future__ import annotations

import math

import numpy as np

from fetal_monai.data.phantom import shapes
from fetal_monai.data.phantom.anatomy.trunk import cross_cut_spine, trunk_outline
from fetal_monai.data.phantom.canvas import BLOOD, LUNG, MUSCLE, WALL, Sketch


def _chest(sketch: Sketch, rng: np.random.Generator) -> float:
    half = float(rng.uniform(38, 42)), float(rng.uniform(37, 40))
    outline = trunk_outline(sketch, half, ribs=True)
    sketch.fill(outline + 6, LUNG)
    cross_cut_spine(sketch, (0, half[1] - 9))
    return half[1]


def draw_four_chambers(sketch: Sketch, rng: np.random.Generator) -> None:
    """The chest with the heart in it: four dark chambers divided by a bright cross."""
    _chest(sketch, rng)
    axis = math.radians(rng.uniform(30, 55))
    size = float(rng.uniform(1.0, 1.2))
    p, q = shapes.turned(sketch.u, sketch.v, (-4.0, -4.0), axis)
    p, q = p / np.float32(size), q / np.float32(size)
    heart = shapes.ellipse(p, q, (0, 0), (21, 16.5))
    sketch.fill(heart, MUSCLE + 3)
    sketch.shell(heart, 1.2, WALL - 2)
    for along in (-1, 1):
        for across in (-1, 1):
            chamber = shapes.ellipse(p, q, (along * 8.2, across * 6.4), (7.2, 5.0), along * across * 0.12)
            sketch.fill(chamber, BLOOD - 4)
            sketch.blood(chamber, 0.7 * across)
    sketch.fill(shapes.segment(p, q, (-16, 0), (16, 0), 0.9), WALL + 3)  # septum
    sketch.fill(shapes.segment(p, q, (0, -11), (0.8, 11), 0.8), WALL + 3)  # valves
    if rng.random() < 0.12:
        sketch.doppler(22, 22)


def draw_three_vessels(sketch: Sketch, rng: np.random.Generator) -> None:
    """The chest with three vessels in a row, the largest in front: pulmonary artery, aorta, superior vena cava."""
    top = _chest(sketch, rng)
    u, v = sketch.u, sketch.v
    sketch.fill(shapes.ellipse(u, v, (0, -6), (22, 17)), MUSCLE + 6)
    size, tilt = float(rng.uniform(0.95, 1.12)), float(rng.uniform(0.25, 0.5))
    for at, radius, velocity in ((-15.0, 7.3, 0.9), (0.0, 5.6, 0.8), (12.0, 4.2, -0.7)):
        centre = (at * size, -8 + at * tilt)
        circle = shapes.ellipse(u, v, centre, (radius * size, radius * size * 0.95))
        sketch.vessel(circle, wall=WALL + 4, thickness=1.5)
        sketch.blood(circle + 1, velocity)
    sketch.fill(shapes.ellipse(u, v, (5, top - 20), (2.6, 2.6)), BLOOD)  # descending aorta
    if rng.random() < 0.15:
        sketch.doppler(20, 24)
