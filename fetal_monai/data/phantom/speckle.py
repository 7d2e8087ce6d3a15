"""From what a beam meets to the grey level on the screen: attenuation, speckle, log compression.

Speckle is the interference of many scatterers within the pulse: complex Gaussian scattering, filtered by the pulse,
whose envelope is Rayleigh distributed (Wagner et al., IEEE Trans Sonics Ultrason 1983). Filtering happens in polar
coordinates, so that speckle widens with depth as a real one does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from fetal_monai.data.phantom.canvas import Canvas
from fetal_monai.data.phantom.types import FloatArray, UInt8Array


@dataclass(frozen=True)
class Processing:
    """How a machine is set: the look that all frames of a patient share.

    Args:
        axial_mm: standard deviation of the pulse along the beam.
        lateral_lines: its standard deviation across the beams, lines.
        looks: independent speckle patterns averaged (spatial compounding).
        gain_db: brightness of soft tissue above black.
        range_db: what spans black to white.
        slope_db: error of the time gain compensation from top to bottom.
        gamma: the grey map's exponent.
        haze: amplitude of the side lobes.
        smooth: standard deviation of the filter after log compression, samples.
    """

    axial_mm: float
    lateral_lines: float
    looks: int
    gain_db: float
    range_db: float
    slope_db: float
    gamma: float
    haze: float
    smooth: float


def scattering(shape: tuple[int, int], looks: int, rng: np.random.Generator) -> FloatArray:
    """Real and imaginary scatterers as (looks, 2, samples, lines), zero mean, unit variance.

    They are uniform, which is quick to draw; the sum of the many within a pulse is Gaussian all the same.
    """
    count = looks * 2 * shape[0] * shape[1]
    uniform = np.frombuffer(rng.bytes(count), np.int8).reshape(looks, 2, *shape)
    return (uniform + np.float32(0.5)) / np.float32(256 / math.sqrt(12))


def form_image(canvas: Canvas, noise: FloatArray, processing: Processing) -> UInt8Array:
    """Return the (samples, lines) grey levels, uint8, of the canvas seen through `processing`.

    Args:
        canvas: echo and loss maps.
        noise: the scatterers, see `scattering`.
        processing: the machine's settings.
    """
    sector = canvas.sector
    sigma = processing.axial_mm / sector.mm_per_sample
    path = np.cumsum(canvas.loss, axis=0, dtype=np.float32) * np.float32(sector.mm_per_sample)
    path = cv2.GaussianBlur(np.clip(path, -9, 40), (0, 0), sigmaX=1.2, sigmaY=0.1)  # a beam is not infinitely thin
    depth = np.linspace(-0.5, 0.5, sector.shape[0], dtype=np.float32)[:, None]
    level = canvas.echo - path + np.float32(processing.slope_db) * depth
    amplitude = np.exp(level * np.float32(np.log(10) / 20))
    # Side lobes: every beam hears a little of what lies beside it, a haze next to bright structures.
    amplitude += np.float32(processing.haze) * cv2.GaussianBlur(amplitude, (0, 0), sigmaX=18, sigmaY=5)
    # The electronic noise floor rises with depth, because the compensation amplifies it too.
    floor = np.exp((depth * 14 - 36) * np.float32(np.log(10) / 20))

    # Filtering white noise lowers its power by the kernel's energy: undo that, so that 0 dB stays 0 dB.
    unit = np.float32(np.sqrt(4 * np.pi * max(sigma, 0.3) * processing.lateral_lines))
    power = np.zeros(sector.shape, np.float32)
    for real, imaginary in noise:
        for part in (real, imaginary):
            wave = cv2.GaussianBlur(
                part * amplitude, (0, 0), sigmaX=processing.lateral_lines, sigmaY=sigma, borderType=cv2.BORDER_REFLECT
            )
            power += np.square(wave * unit)
    power = power / np.float32(2 * len(noise)) + np.square(floor)
    decibel = 10 * np.log10(power) + np.float32(processing.gain_db)
    grey = np.clip(decibel / np.float32(processing.range_db), 0, 1)
    if processing.smooth > 0:
        grey = cv2.GaussianBlur(grey, (0, 0), sigmaX=processing.smooth * 0.6, sigmaY=processing.smooth)
    result: UInt8Array = (255 * np.power(grey, np.float32(processing.gamma)) + 0.5).astype(np.uint8)
    return result
