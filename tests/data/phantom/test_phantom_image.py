"""Speckle, shadows and the planes: image formation against closed forms, anatomy against its description."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fetal_monai.data.phantom import PhantomSpec, shapes
from fetal_monai.data.phantom.anatomy import PLANES
from fetal_monai.data.phantom.canvas import FLUID, Canvas, Pose, Sketch
from fetal_monai.data.phantom.dataset import scene_and_identity
from fetal_monai.data.phantom.geometry import ConvexProbe, Sector
from fetal_monai.data.phantom.scene import Scene, render
from fetal_monai.data.phantom.screen import empty_screen, show
from fetal_monai.data.phantom.speckle import Processing, form_image, scattering

SECTOR = Sector(ConvexProbe(50, math.radians(34), 120), rows=480, cols=640)
PLAIN = Processing(
    axial_mm=0.4, lateral_lines=1.3, looks=1, gain_db=40, range_db=80, slope_db=0, gamma=1, haze=0, smooth=0
)
SPEC = PhantomSpec(patients=8, seed=5, size=(240, 320))


def decibels(canvas: Canvas, processing: Processing = PLAIN, seed: int = 0) -> np.ndarray:
    noise = scattering(canvas.sector.shape, processing.looks, np.random.default_rng(seed))
    return form_image(canvas, noise, processing) / 255 * processing.range_db - processing.gain_db


@pytest.mark.parametrize(("axial", "lateral"), [(0.4, 1.3), (0.6, 0.9)])
def test_uniform_tissue_has_rayleigh_speckle(axial: float, lateral: float) -> None:
    # The power of fully developed speckle is exponential: its dB have mean -2.51 and standard deviation 5.57,
    # and the amplitude's mean is 1.91 standard deviations.
    level = decibels(Canvas(SECTOR), replace(PLAIN, axial_mm=axial, lateral_lines=lateral))[20:-20, 10:-10]
    assert level.std() == pytest.approx(5.57, abs=0.25)
    assert level.mean() == pytest.approx(-2.51, abs=0.4)
    amplitude = 10 ** (level / 20)
    assert amplitude.mean() / amplitude.std() == pytest.approx(1.91, abs=0.08)


def test_compounding_lessens_speckle() -> None:
    one, four = (decibels(Canvas(SECTOR), replace(PLAIN, looks=looks))[20:-20, 10:-10] for looks in (1, 4))
    power_one, power_four = 10 ** (one / 10), 10 ** (four / 10)
    ratio = (power_one.std() / power_one.mean()) / (power_four.std() / power_four.mean())
    assert ratio == pytest.approx(2, rel=0.1)  # the square root of the number of looks


def test_bone_casts_a_shadow_and_fluid_brightens_what_lies_behind() -> None:
    middle, lines = SECTOR.shape[0] // 2, SECTOR.shape[1]
    levels = {}
    for what in ("nothing", "bone", "fluid"):
        canvas = Canvas(SECTOR)
        sketch = Sketch(canvas, Pose((0, 40), 0, 1, flip=False))
        if what == "bone":
            sketch.bone(shapes.segment(sketch.u, sketch.v, (-12, 0), (12, 0), 2))
        if what == "fluid":
            sketch.fluid(shapes.ellipse(sketch.u, sketch.v, (0, 0), (14, 14)))
            inside = decibels(canvas)[round(40 / SECTOR.mm_per_sample), lines // 2 - 5 : lines // 2 + 5]
            assert inside.max() < -20
            assert float(canvas.echo.min()) == FLUID
        level = decibels(canvas)
        levels[what] = float(level[middle + 20 : -20, lines // 2 - 5 : lines // 2 + 5].mean())
        beside = float(level[middle + 20 : -20, 5:20].mean())
        assert beside == pytest.approx(-2.5, abs=0.8)  # beams that miss it see nothing of it
    assert levels["bone"] < levels["nothing"] - 15
    assert levels["nothing"] + 3 < levels["fluid"] < levels["nothing"] + 6


def still(number: int) -> Scene:
    scene, _ = scene_and_identity(SPEC, 0, number)
    return replace(scene, frames=1, labelled=0, off_plane=0.0)


def test_every_plane_is_drawn_and_none_like_another() -> None:
    scene = still(0)
    frames = {plane: render(scene, plane)[0] for plane in PLANES}
    assert len(frames) == 16
    for plane, frame in frames.items():
        assert frame.shape == (240, 320, 3)
        assert frame.dtype == np.uint8
        for other, its_frame in frames.items():
            if other != plane:
                assert np.abs(frame.astype(int) - its_frame).mean() > 2, (plane, other)


def test_screen_outside_of_the_sector_does_not_depend_on_the_plane() -> None:
    scene = still(1)
    outside = scene.sector.mask == 0
    frames = [render(scene, plane)[0][outside] for plane in PLANES]
    for frame in frames[1:]:
        np.testing.assert_array_equal(frame, frames[0])


def test_known_colours_at_known_pixels() -> None:
    scene = still(2)
    frame = render(scene, "Femur")[0]
    assert frame[1, 1].tolist() == [19, 22, 25]  # the banner's corner
    assert frame[120, 2].tolist() == [0, 0, 0]  # beside the sector
    bar = frame[round(0.12 * 240), 313]
    np.testing.assert_array_equal(bar, (255 * np.array(scene.style.tint)).astype(np.uint8))  # the bar's white end


def is_red(frame: np.ndarray) -> np.ndarray:
    red, _, blue = (frame[..., k].astype(int) for k in range(3))
    return red > blue + 60


def test_bladder_has_red_on_one_side_and_blue_on_the_other() -> None:
    for number in range(3):
        scene = still(number)
        frame = render(scene, "Bladder (CDC)")[0]
        red, blue = is_red(frame), is_red(frame[..., ::-1])
        assert red.sum() > 60
        assert blue.sum() > 60
        col, row = scene.sector.to_pixel(*scene.pose.centre)
        centre = np.array([row, col])
        sides = [(np.argwhere(colour).mean(axis=0) - centre) / np.linalg.norm(centre) for colour in (red, blue)]
        across = np.array([math.cos(scene.pose.angle), -math.sin(scene.pose.angle)])  # rows, columns
        assert np.dot(sides[0], across) * np.dot(sides[1], across) < 0


def test_flow_towards_the_probe_is_red_and_only_inside_the_window() -> None:
    style = still(0).style
    canvas = Canvas(SECTOR)
    sketch = Sketch(canvas, Pose((0, 60), 0, 1, flip=False))
    for at, velocity in ((-12, 0.9), (12, -0.9), (45, 0.9)):
        sketch.blood(shapes.ellipse(sketch.u, sketch.v, (at, 0), (6, 6)), velocity)
    sketch.doppler(20, 25)
    grey = np.full(SECTOR.shape, 90, np.uint8)
    screen = show(empty_screen(style, SECTOR), grey, canvas, (1.0, 1.0, 1.0))
    pixels = [screen[round(row), round(col)] for col, row in (SECTOR.to_pixel(x, 60) for x in (-12, 12, 45, 0))]
    assert pixels[0][0] > pixels[0][2] + 100
    assert pixels[1][2] > pixels[1][0] + 100
    assert pixels[2].tolist() == pixels[3].tolist() == [90, 90, 90]


def test_grey_planes_are_grey() -> None:
    frame = render(still(0), "Femur")[0]
    assert not is_red(frame).any()
    assert not is_red(frame[..., ::-1]).any()


def test_femur_is_one_bright_line_with_a_shadow() -> None:
    canvas = Canvas(SECTOR)
    pose = Pose((0, 65), 0, 1, flip=False)
    PLANES["Femur"](Sketch(canvas, pose), np.random.default_rng(0))
    level = decibels(canvas)
    line = SECTOR.shape[1] // 2
    column = level[:, line - 3 : line + 4].mean(axis=1)
    depth = np.argmax(column) * SECTOR.mm_per_sample
    assert depth == pytest.approx(65, abs=4)
    after = column[round((depth + 12) / SECTOR.mm_per_sample) : round((depth + 30) / SECTOR.mm_per_sample)]
    before = column[round((depth - 14) / SECTOR.mm_per_sample) : round((depth - 6) / SECTOR.mm_per_sample)]
    assert after.mean() < before.mean() - 10


def test_clip_moves_smoothly_and_shows_the_plane_best_in_the_labelled_frame() -> None:
    scene = replace(still(3), frames=9, labelled=2, drift=(0.5, 0.3, 0.01, 0.8))
    shown = render(scene, "Head (Cerebellum)").astype(float)
    steps = [np.abs(shown[k + 1] - shown[k]).mean() for k in range(8)]
    leaps = [np.abs(shown[k + 4] - shown[k]).mean() for k in range(5)]
    assert max(steps) < min(leaps)
    # The skull is what is brightest; it fades as the probe leaves the plane.
    col, row = (round(value) for value in scene.sector.to_pixel(*scene.pose.centre))
    contrast = [float(np.percentile(frame[row - 60 : row + 60, col - 70 : col + 70], 97)) for frame in shown]
    assert contrast[2] > contrast[-1] + 10


def test_a_patients_images_share_their_look() -> None:
    scenes = [scene_and_identity(SPEC, 4, index)[0] for index in range(4)]
    assert len({(s.style.model, s.style.tint, s.style.processing.looks, s.style.probe.half_angle) for s in scenes}) == 1
    assert len({s.pose.centre for s in scenes}) == 4
    assert len({scene_and_identity(SPEC, patient, 0)[0].style.tint for patient in range(8)}) == 8
