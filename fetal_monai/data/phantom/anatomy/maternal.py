"""Planes of the mother's side: the placenta with the cord, the cervix."""

from __future__ import annotations

import numpy as np

from fetal_monai.data.phantom import shapes
from fetal_monai.data.phantom.anatomy.womb import texture
from fetal_monai.data.phantom.canvas import BONE, BRAIN, MUSCLE, PLACENTA, SOFT, WALL, Sketch


def draw_placenta(sketch: Sketch, rng: np.random.Generator) -> None:
    """A thick textured band with dark lakes, and the twisted cord that enters it from the fluid."""
    upright = sketch.posed(angle=sketch.pose.angle * 0.6)
    u, v = upright.u, upright.v
    upright.fluid(shapes.ellipse(u, v, (0, 14), (78, 36)), soft=4)
    sag, thickness = float(rng.uniform(6, 14)), float(rng.uniform(26, 34))
    surface = v + np.float32(6) + np.float32(sag) * np.square(u / np.float32(50))
    surface = surface + np.float32(1.2) * np.sin(u * np.float32(0.25) + np.float32(rng.uniform(0, 6)))
    band = np.maximum(surface, -surface - np.float32(thickness))
    wall = np.maximum(surface + np.float32(thickness - 1), -surface - np.float32(thickness + 13))
    upright.fill(wall, SOFT - 5, loss=0.0, soft=3)
    grain = np.float32(1.5) * texture(upright.canvas, rng)
    upright.fill(band, PLACENTA + grain, loss=0.0)
    upright.fill(np.maximum(np.abs(surface) - np.float32(0.8), np.abs(u) - np.float32(70)), WALL + 1)
    for _ in range(int(rng.integers(3, 7))):  # lakes
        at = float(rng.uniform(-40, 40)), float(rng.uniform(-26, -12))
        upright.fill(shapes.ellipse(u, v, at, (float(rng.uniform(2, 5)), float(rng.uniform(1.2, 2.5)))), MUSCLE - 14)
    entry, reach = float(rng.uniform(-14, 14)), float(rng.uniform(28, 36))
    # Two vessels wind about one axis: sines of opposite phase.
    axis = u - np.float32(entry) - np.float32(rng.uniform(-0.35, 0.35)) * (v + np.float32(6))
    inside = np.maximum(-surface - np.float32(6), v - np.float32(reach))
    upright.fill(np.maximum(np.abs(axis) - np.float32(7.5), inside + np.float32(6)), MUSCLE)
    wind = np.float32(3.6) * np.sin(v * np.float32(2 * np.pi / float(rng.uniform(20, 28))))
    for sign in (-1, 1):
        tube = np.maximum(np.abs(axis - sign * wind) - np.float32(2.3), inside)
        upright.vessel(tube, wall=WALL + 2)
        upright.blood(tube, sign * 0.9)
    if rng.random() < 0.3:
        upright.doppler(30, 22)


def draw_cervix(sketch: Sketch, rng: np.random.Generator) -> None:
    """The funnel's Y: a dark wedge of fluid narrowing into the bright canal, the head at its mouth."""
    upright = sketch.posed(angle=sketch.pose.angle * 0.5, invert=False)
    u, v = upright.u, upright.v
    upright.fill(shapes.box(u, v, (0, 60), (200, 98)), SOFT - 5, loss=0.0, soft=6)
    head = shapes.ellipse(u, v, (-58, 14), (30, 30))
    upright.fill(head, BRAIN)
    upright.shell(head, 2.4, BONE, loss=0.8)
    lips = shapes.ellipse(u, v, (20, 8), (38, 17), 0.08)
    upright.fill(lips, SOFT + 2)
    upright.shell(lips, 1.2, WALL - 6)
    mouth, throat = float(rng.uniform(10, 15)), float(rng.uniform(4, 14))
    funnel = shapes.polygon(u, v, [(-30, 6 - mouth), (throat, 6.5), (throat, 9.5), (-30, 10 + mouth)])
    upright.fluid(np.maximum(funnel, -head - np.float32(1)))
    upright.fill(
        np.abs(shapes.polyline(u, v, [(-30, 6 - mouth), (throat, 7), (-30, 10 + mouth)])) - np.float32(0.8), WALL + 2
    )
    canal = [(throat, 8.0), (throat + 14, 9.0), (52.0, float(rng.uniform(6, 14)))]
    upright.fill(shapes.polyline(u, v, canal, 2.8), MUSCLE - 4)
    upright.fill(shapes.polyline(u, v, canal, 0.8), WALL + 6)
    if rng.random() < 0.8:
        bladder = shapes.ellipse(u, v, (18, -28), (float(rng.uniform(18, 28)), float(rng.uniform(5, 9))), 0.1)
        upright.fluid(bladder)
        upright.shell(bladder, 1.2, WALL - 2)
