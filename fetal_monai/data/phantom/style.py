"""The look that the frames of one patient share: probe, settings, tint; and what varies from image to image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fetal_monai.data.phantom.geometry import ConvexProbe
from fetal_monai.data.phantom.speckle import Processing

MODELS = ("EchoSim A1", "EchoSim B2", "EchoSim C3")  # of the synthetic maker; no real one has these names


@dataclass(frozen=True)
class Style:
    """A patient's appearance.

    Args:
        model: name of the synthetic machine.
        frequency_mhz: of the synthetic probe.
        probe: geometry of the field of view.
        processing: the machine's settings.
        tint: factors of red, green and blue on the grey map.
        maternal_mm: thickness of the maternal tissue in front of the womb.
    """

    model: str
    frequency_mhz: float
    probe: ConvexProbe
    processing: Processing
    tint: tuple[float, float, float]
    maternal_mm: float


def patient_style(rng: np.random.Generator) -> Style:
    """Draw the appearance of one patient's examination."""
    model = int(rng.integers(len(MODELS)))
    frequency = float(rng.choice((3.5, 4.2, 5.0)))
    warmth = float(rng.uniform(-0.06, 0.05))
    return Style(
        model=MODELS[model],
        frequency_mhz=frequency,
        probe=ConvexProbe(
            radius_mm=float(rng.choice((42.0, 50.0, 60.0))),
            half_angle=math.radians(rng.uniform(30, 37)),
            depth_mm=float(rng.uniform(100, 145)),
        ),
        processing=Processing(
            axial_mm=1.5 / frequency,
            lateral_lines=float(rng.uniform(0.9, 1.5)),
            looks=int(rng.integers(1, 4)),
            gain_db=float(rng.uniform(28, 36)),
            range_db=float(rng.uniform(52, 62)),
            slope_db=float(rng.uniform(-7, 5)),
            gamma=float(rng.uniform(0.95, 1.3)),
            haze=float(10 ** rng.uniform(-2.1, -1.3)),
            smooth=float(rng.uniform(0.3, 0.9)),
        ),
        tint=(1 + min(warmth, 0), 1 + min(warmth, 0) / 2 - max(warmth, 0) / 2, 1 - 2 * max(warmth, 0)),
        maternal_mm=float(rng.uniform(12, 26)),
    )


def image_style(style: Style, rng: np.random.Generator) -> Style:
    """Vary a patient's style as an operator does between images: depth and gain."""
    depth = style.probe.depth_mm * float(rng.uniform(0.92, 1.1))
    processing = style.processing
    return replace(
        style,
        probe=replace(style.probe, depth_mm=round(depth / 5) * 5.0),
        processing=replace(
            processing,
            gain_db=processing.gain_db + float(rng.normal(0, 1.5)),
            slope_db=processing.slope_db + float(rng.normal(0, 1.5)),
        ),
    )
