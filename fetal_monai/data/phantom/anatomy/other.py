"""What an operator also stores: planes of nothing in particular, and near misses of the standard ones."""

from __future__ import annotations

import numpy as np

from fetal_monai.data.phantom import shapes
from fetal_monai.data.phantom.anatomy.head import draw_skull
from fetal_monai.data.phantom.anatomy.trunk import cross_cut_spine, trunk_outline
from fetal_monai.data.phantom.anatomy.womb import texture
from fetal_monai.data.phantom.canvas import BONE, FLUID, MUSCLE, SOFT, WALL, Sketch


def draw_other(sketch: Sketch, rng: np.random.Generator) -> None:
    """Mostly clutter; else a trunk or a skull without its landmarks, or a forearm with its two short bones."""
    (_clutter, _clutter, _clutter, _empty_trunk, _empty_skull, _forearm)[int(rng.integers(6))](sketch, rng)
    if rng.random() < 0.12:
        sketch.blood(shapes.ellipse(sketch.u, sketch.v, (0, 0), (14, 2.5), float(rng.uniform(0, 3))), 0.8)
        sketch.doppler(20, 26)


def _clutter(sketch: Sketch, rng: np.random.Generator) -> None:
    # Tissue in shapeless lumps, with specks, streaks and gaps.
    u, v = sketch.u, sketch.v
    lumps = shapes.smooth_field(sketch.canvas.sector.shape, (6, 5), rng)
    edge = (lumps - np.float32(rng.uniform(-0.6, 0.4))) * np.float32(6)
    edge = np.maximum(edge, shapes.ellipse(u, v, (0, 0), (62, 44)))
    sketch.fill(edge, SOFT - 3 + texture(sketch.canvas, rng, 2.0), loss=0.0, soft=3)
    sketch.fill(np.abs(edge) - np.float32(0.6), WALL - 8)
    for _ in range(int(rng.integers(0, 5))):
        at = float(rng.uniform(-40, 40)), float(rng.uniform(-28, 28))
        lean = float(rng.uniform(-4, 4)), float(rng.uniform(-3, 3))
        speck = shapes.segment(u, v, at, (at[0] + lean[0], at[1] + lean[1]), float(rng.uniform(0.6, 1.2)))
        sketch.bone(speck, echo=WALL, loss=float(rng.uniform(0, 2)))
    for _ in range(int(rng.integers(0, 3))):
        at = float(rng.uniform(-36, 36)), float(rng.uniform(-24, 24))
        gap = shapes.ellipse(u, v, at, (float(rng.uniform(3, 10)), float(rng.uniform(2, 4))), float(rng.uniform(0, 3)))
        sketch.fluid(gap, echo=FLUID + 12, soft=4)


def _empty_trunk(sketch: Sketch, rng: np.random.Generator) -> None:
    half = float(rng.uniform(33, 41)), float(rng.uniform(30, 37))
    trunk_outline(sketch, half)
    cross_cut_spine(sketch, (half[0] - 9, float(rng.uniform(-6, 6))))
    for _ in range(3):
        at = float(rng.uniform(-20, 12)), float(rng.uniform(-18, 18))
        sketch.fill(shapes.segment(sketch.u, sketch.v, at, (at[0] + 6, at[1] + 2), 0.8), WALL - 6, soft=2)


def _empty_skull(sketch: Sketch, rng: np.random.Generator) -> None:
    draw_skull(sketch, rng)
    for side in (-1, 1):
        plexus = shapes.ellipse(sketch.u, sketch.v, (float(rng.uniform(-8, 8)), side * 13), (13, 5.5))
        sketch.fill(plexus, SOFT - 4, soft=4)


def _forearm(sketch: Sketch, rng: np.random.Generator) -> None:
    u, v = sketch.u, sketch.v
    half, apart = float(rng.uniform(11, 16)), float(rng.uniform(3.5, 5))
    arm = shapes.segment(u, v, (-half - 12, 0), (half + 10, 0), 12)
    sketch.fill(arm, MUSCLE + 4)
    sketch.shell(arm, 1.4, WALL - 3)
    for side in (-1, 1):
        bone = shapes.segment(u, v, (-half + 2 * side, side * apart), (half + 2 * side, side * apart * 1.2), 1.2)
        sketch.bone(bone, echo=BONE, loss=3.0)
