"""The sixteen planes of arXiv 2506.08623, each a function that draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from fetal_monai.data.phantom.anatomy import head, heart, maternal, other, skeleton, trunk
from fetal_monai.data.phantom.canvas import Sketch

Draw = Callable[[Sketch, np.random.Generator], None]

PLANES: Mapping[str, Draw] = MappingProxyType(
    {
        "Femur": skeleton.draw_femur,
        "Head (PPP, Tectum)": head.draw_head_cavum,
        "Head (Cerebellum)": head.draw_head_cerebellum,
        "Head (Sagittal)": head.draw_head_sagittal,
        "Other": other.draw_other,
        "Stomach": trunk.draw_stomach,
        "Bladder (CDC)": trunk.draw_bladder,
        "Nasal triangle": head.draw_nasal_triangle,
        "Shoulder bone": skeleton.draw_shoulder,
        "Spine": skeleton.draw_spine,
        "Kidneys": trunk.draw_kidneys,
        "Umbilical cord (Anterior abdominal wall)": trunk.draw_cord_insertion,
        "Placenta (Umbilical cord)": maternal.draw_placenta,
        "Slice through three vessels": heart.draw_three_vessels,
        "Four-chamber heart section": heart.draw_four_chambers,
        "Cervix": maternal.draw_cervix,
    }
)
"""Class name -> its drawing, in the order of `class_int`."""
