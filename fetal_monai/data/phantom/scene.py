"""One image or clip of one plane: movement, anatomy, speckle and screen put together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fetal_monai.data.phantom.anatomy import PLANES
from fetal_monai.data.phantom.anatomy.womb import draw_womb
from fetal_monai.data.phantom.canvas import Canvas, Pose, Sketch
from fetal_monai.data.phantom.geometry import Sector
from fetal_monai.data.phantom.screen import empty_screen, show
from fetal_monai.data.phantom.speckle import form_image, scattering
from fetal_monai.data.phantom.style import Style, image_style
from fetal_monai.data.phantom.types import UInt8Array

NOMINAL_DEPTH_MM = 120.0  # anatomies are drawn for this depth; an operator zooms so that the plane fills the screen


@dataclass(frozen=True)
class Scene:
    """Everything about an image but its class: what is drawn into it is decided by the plane's name alone.

    Args:
        style: the patient's appearance with this image's own depth and gain.
        sector: where the image lies on the screen.
        pose: where the anatomy lies in the labelled frame.
        off_plane: distance of the labelled frame from the ideal plane, mm.
        drift: movement from frame to frame: mm right, mm down, radians, mm out of the plane.
        frames: number of frames, 1 for a still.
        labelled: the frame that shows the plane (0 for a still).
        seed: of the anatomy and the speckle.
    """

    style: Style
    sector: Sector
    pose: Pose
    off_plane: float
    drift: tuple[float, float, float, float]
    frames: int
    labelled: int
    seed: tuple[int, ...]


def compose(patient: Style, size: tuple[int, int], frames: int, seed: tuple[int, ...]) -> Scene:
    """Draw what varies from image to image of a patient.

    Args:
        patient: the patient's appearance.
        size: (rows, cols) of the screen.
        frames: number of frames.
        seed: of this image.
    """
    rng = np.random.default_rng([*seed, 0])
    style = image_style(patient, rng)
    depth = style.probe.depth_mm
    middle = (style.maternal_mm + depth * 0.9) / 2 + 3
    pose = Pose(
        centre=(float(rng.normal(0, 6)), middle + float(rng.normal(0, 4))),
        angle=math.radians(float(rng.normal(0, 18))),
        scale=depth / NOMINAL_DEPTH_MM * float(rng.uniform(0.82, 1.08)),
        flip=bool(rng.random() < 0.5),
        invert=bool(rng.random() < 0.25),
        bend=tuple((rng.uniform(0, 1, 8) * np.tile((2.5, 6.3, 0.45, 6.3), 2)).tolist()),
    )
    drift = (*rng.normal(0, 0.7, 2).tolist(), float(rng.normal(0, 0.012)), float(rng.uniform(0.4, 0.9)))
    off_plane = float(rng.uniform(-2, 2))
    sector = Sector(style.probe, rows=size[0], cols=size[1])
    return Scene(style, sector, pose, off_plane, drift, frames, int(rng.integers(frames)), seed)


def render(scene: Scene, plane: str) -> UInt8Array:
    """Return the (frames, rows, cols, 3) RGB frames of `scene` showing `plane`.

    Frames away from the labelled one move on smoothly and leave the plane, as a sweep of the probe does.
    """
    draw = PLANES[plane]
    screen = empty_screen(scene.style, scene.sector)
    rng = np.random.default_rng([*scene.seed, 1])
    shape, looks = scene.sector.shape, scene.style.processing.looks
    noise = scattering(shape, looks, rng)
    right, down, turn, out = scene.drift
    shown = []
    for frame in range(scene.frames):
        step = frame - scene.labelled
        away = scene.off_plane + step * out
        pose = replace(
            scene.pose,
            centre=(scene.pose.centre[0] + right * step, scene.pose.centre[1] + down * step),
            angle=scene.pose.angle + turn * step,
        )
        canvas = Canvas(scene.sector)
        # The same generator state in each frame: the same womb, the same anatomy.
        draw_womb(canvas, scene.style.maternal_mm, (right * step, 0.0), np.random.default_rng([*scene.seed, 2]))
        sketch = Sketch(canvas, pose, presence=math.exp(-((away / 4.0) ** 2)))
        draw(sketch, np.random.default_rng([*scene.seed, 3]))
        canvas.finish()
        shown.append(show(screen, form_image(canvas, noise, scene.style.processing), canvas, scene.style.tint))
        if frame + 1 < scene.frames:  # speckle decorrelates little by little while tissue moves
            noise = np.float32(0.9) * noise + np.float32(math.sqrt(1 - 0.81)) * scattering(shape, looks, rng)
    return np.stack(shown)
