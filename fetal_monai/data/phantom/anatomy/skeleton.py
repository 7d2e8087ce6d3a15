"""Long bones and the spine."""

from __future__ import annotations

import numpy as np

from fetal_monai.data.phantom import shapes
from fetal_monai.data.phantom.canvas import BONE, MUSCLE, SOFT, WALL, Sketch


def draw_femur(sketch: Sketch, rng: np.random.Generator) -> None:
    """One long bright bone inside the thigh, alone, with a shadow."""
    u, v = sketch.u, sketch.v
    half, sag = float(rng.uniform(25, 31)), float(rng.uniform(-2, 2))
    # The thigh tapers from the hip to the knee.
    girth = float(rng.uniform(15, 19)) - np.float32(rng.uniform(0.05, 0.14)) * np.clip(u, -half, half)
    thigh = shapes.segment(u, v, (-half - 8, 1), (half + 8, -1)) - girth.astype(np.float32)
    sketch.fill(thigh, SOFT - 3)
    sketch.shell(thigh, 1.4, WALL - 3)
    sketch.fill(thigh + 6, MUSCLE)
    sketch.bone(shapes.polyline(u, v, [(-half, 0), (-half / 3, sag), (half / 3, sag), (half, 0)], 1.6), echo=BONE + 3)
    for end in (-half, half):  # the epiphyses, not yet bone
        sketch.fill(shapes.ellipse(u, v, (end * 1.12, 0), (3.5, 4.5)), MUSCLE - 8)


def draw_shoulder(sketch: Sketch, rng: np.random.Generator) -> None:
    """A short thick bone with a round head, the blade's triangle beside it, and a row of ribs."""
    u, v = sketch.u, sketch.v
    trunk = shapes.ellipse(u, v, (20, 12), (36, 26), 0.15)
    sketch.fill(trunk, SOFT - 2)
    sketch.shell(trunk, 1.4, WALL - 3)
    arm = shapes.segment(u, v, (-34, 12), (-4, -6), 12)
    sketch.fill(arm, MUSCLE + 3)
    sketch.shell(np.maximum(arm, -trunk), 1.2, WALL - 5)
    for k in range(5):  # ribs
        sketch.bone(shapes.ellipse(u, v, (12 + 8.5 * k, 10 + 1.5 * k), (2.4, 1.5)), echo=BONE - 3, loss=3.0)
    blade = [(-2.0, -5.0), (17.0, -12.0), (11.0, 4.0)]
    sketch.bone(np.abs(shapes.polygon(u, v, blade)) - np.float32(1.0), echo=BONE, loss=2.0)
    length = float(rng.uniform(0.9, 1.1))
    sketch.bone(shapes.segment(u, v, (-8 - 25 * length, -4 + 16 * length), (-8, -4), 2.3), echo=BONE + 3)
    sketch.fill(shapes.ellipse(u, v, (-5, -6), (5, 5)), MUSCLE - 6)
    sketch.shell(shapes.ellipse(u, v, (-5, -6), (5, 5)), 1.2, WALL)


def draw_spine(sketch: Sketch, rng: np.random.Generator) -> None:
    """Two or three rows of vertebrae along the back, drawn together towards the sacrum."""
    u, v = sketch.u, sketch.v
    curve = float(rng.uniform(-5, 5))
    row = v + np.float32(8) - np.float32(curve) * np.square(u / np.float32(48))
    body = np.maximum(-row - np.float32(12), shapes.ellipse(u, v, (0, -2), (60, 34)))
    sketch.fill(body, SOFT - 4)
    sketch.shell(body, 1.6, WALL - 1)
    pitch = float(rng.uniform(5.6, 6.8))
    # Repeating one vertebra along the row is the same as drawing each of them.
    cell = (u / np.float32(pitch) - np.round(u / np.float32(pitch))) * np.float32(pitch)
    inside = np.abs(u) - np.float32(50)
    spread = np.float32(6.5) * np.sqrt(np.clip((np.float32(52) - u) / np.float32(60), 0.02, 1))
    sketch.fill(np.maximum(np.abs(row) - spread, inside), MUSCLE - 14)  # the canal
    sides = (-1, 1) if rng.random() < 0.5 else (-1, 1, 2.4)
    for side in sides:
        height = 1.7 if side < 2 else 1.3
        dots = np.hypot(cell, (row - np.float32(side) * spread) * np.float32(1.3)) - np.float32(height)
        sketch.bone(np.maximum(dots, inside), echo=BONE, loss=1.6)
