"""Single samples to 8-bit grey: modality LUT, VOI LUT or window, MONOCHROME1 (PS3.3 C.11.1, C.11.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue

from fetal_monai.dicom.decoders import Samples
from fetal_monai.dicom.limits import Fault
from fetal_monai.dicom.lookup_tables import read_descriptor, read_table

_Floats = NDArray[np.float64]


def to_grey8(samples: Samples, dataset: Dataset, *, little_endian: bool) -> NDArray[np.uint8]:
    """Map stored values to what a screen shows.

    The first VOI LUT is used, else the first window, else the full range of the stored bits becomes 0 to 255.

    Args:
        samples: (H, W) stored values.
        dataset: the header with the modality and VOI elements.
        little_endian: the data set's byte order, for tables.

    Returns:
        (H, W) uint8, bright is white whatever the photometric interpretation.

    Raises:
        Fault: if a table or a number is unusable.
    """
    low, high = (
        (-(1 << samples.bits - 1), (1 << samples.bits - 1) - 1) if samples.signed else (0, (1 << samples.bits) - 1)
    )
    curve = _Curve(dataset, low, high, little_endian=little_endian, invert=samples.photometric == "MONOCHROME1")
    if samples.bits > 16:
        return curve(samples.array.astype(np.float64))
    table = curve(np.arange(low, high + 1, dtype=np.float64))
    array = samples.array
    if samples.bits == 8 and array.dtype == np.uint8 and np.array_equal(table, np.arange(256)):
        return array
    if low or array.dtype.itemsize * 8 > samples.bits or array.dtype.kind == "i":
        array = np.clip(array.astype(np.int32), low, high) - low
    return np.take(table, array)


class _Curve:
    """The whole chain as a function of the stored value, so that it can be tabulated once per frame."""

    def __init__(self, dataset: Dataset, low: int, high: int, *, little_endian: bool, invert: bool) -> None:
        self._dataset = dataset
        self._little = little_endian
        self._signed = low < 0
        self._range = np.array([low, high], np.float64)
        self._invert = invert

    def __call__(self, values: _Floats) -> NDArray[np.uint8]:
        level = self._level(*self._modality(values))
        return np.floor(level.clip(0, 255) + 1e-9).astype(np.uint8)

    def _modality(self, values: _Floats) -> tuple[_Floats, float, float]:
        """Values in the modality's unit and the range that they can have."""
        table = _first_item(self._dataset, "ModalityLUTSequence")
        if table is not None:
            mapped, full = self._look_up(table, values)
            return mapped, 0.0, full
        slope = _number(self._dataset.get("RescaleSlope"), 1.0)
        intercept = _number(self._dataset.get("RescaleIntercept"), 0.0)
        ends = self._range * slope + intercept
        return values * slope + intercept, float(ends.min()), float(ends.max())

    def _level(self, values: _Floats, low: float, high: float) -> _Floats:
        """Grey levels before they are cut to whole ones, as dcmtk has them: a window spans 255 steps, no window 256."""
        unit = self._voi(values)
        if unit is not None:
            return np.asarray(255 * (1 - unit.clip(0, 1) if self._invert else unit))
        steps = max(self._range[1] - self._range[0] + 1, 1)
        level = (values - low) / max(high - low, 1e-12) * (steps - 1) / steps * 256
        return np.asarray(255 - np.floor(level + 1e-9) if self._invert else level)

    def _voi(self, values: _Floats) -> _Floats | None:
        """Values as a share of the brightest white, or None where the file declares no window."""
        table = _first_item(self._dataset, "VOILUTSequence")
        if table is not None:
            mapped, full = self._look_up(table, values)
            return mapped / full
        center = _number(self._dataset.get("WindowCenter"), np.nan)
        width = _number(self._dataset.get("WindowWidth"), np.nan)
        function = str(self._dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
        if not np.isfinite(center + width) or width <= 0 or (width < 1 and function == "LINEAR"):
            return None
        if function == "SIGMOID":
            return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700))))
        if function == "LINEAR_EXACT":
            return (values - center) / width + 0.5
        if width == 1:
            return (values > center - 0.5).astype(np.float64)
        return (values - (center - 0.5)) / (width - 1) + 0.5

    def _look_up(self, item: Dataset, values: _Floats) -> tuple[_Floats, float]:
        descriptor = read_descriptor(item.get("LUTDescriptor"), signed=self._signed, little_endian=self._little)
        table = read_table(item.get("LUTData"), descriptor, little_endian=self._little)
        index = np.clip(values - descriptor.first, 0, descriptor.entries - 1).astype(np.int64)
        return table[index].astype(np.float64), float((1 << descriptor.bits) - 1)


def _first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    sequence = dataset.get(keyword)
    return sequence[0] if sequence else None


def _number(value: Any, default: float) -> float:
    if isinstance(value, (list, tuple, MultiValue)):
        value = value[0] if len(value) else None
    if value in (None, ""):
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Fault(f"a rescale or window value is {str(value)[:40]!r}, not a number") from None
    return number if np.isfinite(number) else default
