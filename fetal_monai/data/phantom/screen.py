"""What the machine puts on the screen: banner, depth scale, grey bar, colour, and the notice that all is synthetic."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np

from fetal_monai.data.phantom.canvas import Canvas
from fetal_monai.data.phantom.geometry import BANNER_FRACTION, Sector
from fetal_monai.data.phantom.style import Style
from fetal_monai.data.phantom.types import UInt8Array

BACKGROUND = (19, 22, 25)
INK = (196, 204, 208)
NOTICE = "SYNTHETIC PHANTOM - NOT FOR CLINICAL USE"
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def _text(screen: UInt8Array, text: str, at: tuple[float, float], size: float) -> None:
    scale = size * screen.shape[0] / 480
    cv2.putText(screen, text, (round(at[0]), round(at[1])), _FONT, scale, INK, 1, cv2.LINE_AA)


def empty_screen(style: Style, sector: Sector) -> UInt8Array:
    """Return the (rows, cols, 3) RGB screen of a machine without its image."""
    rows, cols = sector.rows, sector.cols
    screen = np.zeros((rows, cols, 3), np.uint8)
    banner = int(BANNER_FRACTION * rows)
    screen[:banner] = BACKGROUND
    _text(screen, f"{style.model}  (synthetic maker)", (0.012 * cols, 0.42 * banner), 0.42)
    _text(screen, NOTICE, (0.012 * cols, 0.86 * banner), 0.34)
    _text(
        screen,
        f"D {style.probe.depth_mm / 10:.1f} cm  {style.frequency_mhz:.1f} MHz",
        (0.68 * cols, 0.42 * banner),
        0.4,
    )
    _text(screen, "TIs 0.2  MI 0.9", (0.68 * cols, 0.86 * banner), 0.36)
    _text(screen, NOTICE, (0.012 * cols, 0.988 * rows), 0.34)

    # The grey bar, and the depth scale with a tick per cm.
    top, bottom, right = round(0.12 * rows), round(0.34 * rows), round(0.985 * cols)
    ramp = np.linspace(255, 0, bottom - top)[:, None, None]
    screen[top:bottom, round(0.968 * cols) : right] = (ramp * np.array(style.tint)).astype(np.uint8)
    for cm in range(int(style.probe.depth_mm / 10) + 1):
        _, row = sector.to_pixel(0, cm * 10.0)
        length = (0.018 if cm % 5 == 0 else 0.009) * cols
        cv2.line(screen, (round(0.985 * cols - length), round(row)), (right, round(row)), INK, 1, cv2.LINE_AA)
    return screen


def show(screen: UInt8Array, grey: UInt8Array, canvas: Canvas, tint: tuple[float, float, float]) -> UInt8Array:
    """Return a copy of the (rows, cols, 3) screen with the polar image on it, and its colour Doppler if that is on."""
    sector = canvas.sector
    level = sector.scan_convert(grey)
    table = np.clip(np.arange(256)[:, None] * np.array(tint) + 0.5, 0, 255).astype(np.uint8)
    shown: Any = cv2.copyTo(cv2.LUT(cv2.merge([level] * 3), table[None]), sector.mask, screen.copy())
    if canvas.doppler:
        _colour(shown, canvas, grey)
    return cast("UInt8Array", shown)


def _colour(shown: UInt8Array, canvas: Canvas, grey: UInt8Array) -> None:
    # Red flows towards the probe, blue away from it (the usual convention).
    sector = canvas.sector
    first, last, left, right = canvas.box
    lines = sector.shape[1]
    window = np.zeros(sector.shape, np.float32)
    rows = slice(round(first / sector.mm_per_sample), round(last / sector.mm_per_sample))
    window[rows, round(left * lines) : round(right * lines)] = 1
    # Estimates of velocity are noisy: the colour is mottled and its edge frayed.
    noisy = canvas.flow * (np.float32(0.8) + np.float32(0.004) * cv2.blur(grey, (3, 5)))
    flow = cv2.GaussianBlur(noisy, (0, 0), sigmaX=0.8, sigmaY=1.5) * window
    velocity = sector.scan_convert(flow)
    coloured = np.abs(velocity) > 0.3
    strength = np.minimum(np.abs(velocity[coloured]), 1)[:, None]
    red = strength * np.array((255, 190, 0)) * np.array((1.0, 0.55, 0)) ** (1.4 - strength)
    blue = strength * np.array((0, 190, 255)) * np.array((0, 0.55, 1.0)) ** (1.4 - strength)
    shown[coloured] = np.where(velocity[coloured][:, None] > 0, red, blue).clip(0, 255).astype(np.uint8)
    outline = [sector.polar_to_pixel(first, f) for f in np.linspace(left, right, 24)]
    outline += [sector.polar_to_pixel(last, f) for f in np.linspace(right, left, 24)]
    points = np.round(np.array(outline)).astype(np.int32)[:, None]
    cv2.polylines(shown, [points], isClosed=True, color=INK, thickness=1, lineType=cv2.LINE_AA)
