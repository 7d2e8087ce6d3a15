"""The sector's geometry against closed forms and against bright dots found again on the screen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.data.phantom import shapes
from fetal_monai.data.phantom.canvas import Pose
from fetal_monai.data.phantom.geometry import BANNER_FRACTION, ConvexProbe, Sector

probes = st.builds(
    ConvexProbe, radius_mm=st.floats(35, 70), half_angle=st.floats(0.45, 0.7), depth_mm=st.floats(80, 180)
)
sectors = st.builds(Sector, probes, rows=st.sampled_from([240, 480, 852]), cols=st.sampled_from([320, 640, 1136]))


def brightest(screen: np.ndarray) -> tuple[float, float]:
    rows, cols = np.nonzero(screen > 0.2 * screen.max())
    weights = screen[rows, cols]
    return float((cols * weights).sum() / weights.sum()), float((rows * weights).sum() / weights.sum())


@given(sectors, st.floats(-50, 50), st.floats(0, 150))
def test_pixels_and_mm_are_inverse(sector: Sector, x: float, z: float) -> None:
    assert sector.to_mm(*sector.to_pixel(x, z)) == pytest.approx((x, z), abs=1e-6)


@given(sectors)
def test_sector_lies_on_the_screen_below_the_banner(sector: Sector) -> None:
    left, top, right, bottom = sector.bounds
    assert 0 <= left < right < sector.cols
    assert BANNER_FRACTION * sector.rows <= top < bottom < sector.rows
    outside = sector.mask.copy()
    outside[top : bottom + 1, left : right + 1] = 0
    assert not outside.any()


def test_polar_dot_appears_where_the_geometry_says() -> None:
    sector = Sector(ConvexProbe(50, math.radians(34), 120), rows=480, cols=640)
    samples, lines = sector.shape
    for sample, line in ((100, 40), (200, lines // 2), (samples - 30, lines - 30)):
        polar = np.zeros(sector.shape, np.float32)
        polar[sample - 1 : sample + 2, line - 1 : line + 2] = 1
        found = brightest(sector.scan_convert(polar))
        expected = sector.polar_to_pixel(sample * sector.mm_per_sample, line / (lines - 1))
        assert found == pytest.approx(expected, abs=0.6)
        # The same place by the grid of coordinates that anatomy is drawn with.
        x, z = sector.grid
        assert sector.to_pixel(x[sample, line], z[sample, line]) == pytest.approx(expected, abs=0.01)


def test_a_tick_per_cm_is_a_cm_of_the_image() -> None:
    sector = Sector(ConvexProbe(50, math.radians(34), 120), rows=480, cols=640)
    rows = []
    for depth in (40.0, 100.0):
        polar = np.zeros(sector.shape, np.float32)
        polar[round(depth / sector.mm_per_sample)] = 1
        rows.append(int(np.argmax(sector.scan_convert(polar)[:, sector.cols // 2])))
    assert (rows[1] - rows[0]) * sector.mm_per_pixel == pytest.approx(60, abs=1.5 * sector.mm_per_pixel)


points = st.tuples(st.floats(-40, 40), st.floats(-40, 40))


@given(points, points, points)
def test_segment_is_the_distance_to_its_nearest_point(at: tuple, start: tuple, end: tuple) -> None:
    t = np.linspace(0, 1, 4001)[:, None]
    line = np.array(start) + t * (np.array(end) - np.array(start))
    nearest = np.hypot(*(line - np.array(at)).T).min()
    distance = shapes.segment(np.float32([[at[0]]]), np.float32([[at[1]]]), start, end)
    assert float(distance[0, 0]) == pytest.approx(nearest, abs=0.03)


@given(st.floats(5, 50), st.floats(5, 50), st.floats(0, 6.2), st.floats(0, 6.2), points)
def test_ellipse_is_zero_on_its_outline(a: float, b: float, angle: float, t: float, centre: tuple) -> None:
    p, q = a * math.cos(t), b * math.sin(t)
    u = centre[0] + p * math.cos(angle) - q * math.sin(angle)
    v = centre[1] + p * math.sin(angle) + q * math.cos(angle)
    distance = shapes.ellipse(np.float32([[u]]), np.float32([[v]]), centre, (a, b), angle)
    assert abs(float(distance[0, 0])) < 0.01


def test_circle_and_box_have_exact_distances() -> None:
    u, v = np.meshgrid(np.linspace(-30, 30, 41, dtype=np.float32), np.linspace(-30, 30, 41, dtype=np.float32))
    circle = shapes.ellipse(u, v, (0, 0), (10, 10))
    far = np.hypot(u, v) > 3.5
    np.testing.assert_allclose(circle[far], (np.hypot(u, v) - 10)[far], atol=1e-3)
    assert float(shapes.box(np.float32([[13]]), np.float32([[8]]), (0, 0), (10, 4))[0, 0]) == pytest.approx(5)
    assert float(shapes.box(np.float32([[0]]), np.float32([[1]]), (0, 0), (10, 4))[0, 0]) == pytest.approx(-3)


def test_polygon_agrees_with_matplotlib_on_inside() -> None:
    path = pytest.importorskip("matplotlib.path")
    corners = [(-20.0, -10.0), (5.0, -22.0), (0.0, 0.0), (24.0, 3.0), (2.0, 25.0)]
    rng = np.random.default_rng(0)
    at = rng.uniform(-30, 30, (4000, 2)).astype(np.float32)
    distance = shapes.polygon(at[:, :1], at[:, 1:], corners)[:, 0]
    clear = np.abs(distance) > 1e-3
    np.testing.assert_array_equal((distance < 0)[clear], path.Path(corners).contains_points(at)[clear])


@given(points, st.floats(-3, 3), st.floats(0.7, 1.3), st.booleans(), st.booleans())
def test_pose_keeps_distances_up_to_its_scale(
    centre: tuple, angle: float, scale: float, flip: bool, invert: bool
) -> None:
    pose = Pose(centre, angle, scale, flip, invert)
    u, v = pose.local(np.float32([[centre[0], 30]]), np.float32([[centre[1], -20]]))
    assert (float(u[0, 0]), float(v[0, 0])) == pytest.approx((0, 0), abs=1e-4)
    length = math.hypot(30 - centre[0], -20 - centre[1])
    assert math.hypot(float(u[0, 1]), float(v[0, 1])) * scale == pytest.approx(length, rel=1e-3, abs=1e-3)
