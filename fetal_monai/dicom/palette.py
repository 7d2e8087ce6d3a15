"""PALETTE COLOR to 8-bit RGB (PS3.3 C.7.6.3.1.5 and C.7.9)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from fetal_monai.dicom.decoders import Samples
from fetal_monai.dicom.limits import Fault
from fetal_monai.dicom.lookup_tables import expand_segments, read_descriptor, read_table

_COLOURS = ("Red", "Green", "Blue")


def palette_planes(samples: Samples, dataset: Dataset, *, little_endian: bool) -> NDArray[np.uint8]:
    """Look every pixel up in the three tables.

    Entries of 16 bits lose their low byte, unless no entry of the three tables exceeds 255: then they are bytes in
    words, whatever the descriptor says.

    Args:
        samples: (H, W) indices.
        dataset: the header with the palette.
        little_endian: the data set's byte order.

    Returns:
        (3, H, W) uint8 RGB.

    Raises:
        Fault: if a table is missing or short.
    """
    tables: list[NDArray[np.uint16]] = []
    firsts: list[int] = []
    for colour in _COLOURS:
        descriptor = read_descriptor(
            dataset.get(f"{colour}PaletteColorLookupTableDescriptor"),
            signed=samples.signed,
            little_endian=little_endian,
        )
        data = dataset.get(f"{colour}PaletteColorLookupTableData")
        if not data:
            segments = dataset.get(f"Segmented{colour}PaletteColorLookupTableData")
            if not isinstance(segments, bytes) or not segments:
                raise Fault(f"the {colour.lower()} palette is missing", "export the file again with its colour palette")
            data = expand_segments(segments, little_endian=little_endian, eight_bit=descriptor.bits == 8)
        tables.append(read_table(data, descriptor, little_endian=little_endian))
        firsts.append(descriptor.first)
    shift = 8 if max(int(table.max()) for table in tables) > 255 else 0
    planes = np.empty((3, *samples.array.shape), np.uint8)
    for plane, table, first in zip(planes, tables, firsts, strict=True):
        entries = (table >> shift).astype(np.uint8)
        index = (
            samples.array if not first and len(entries) > int(samples.array.max()) else _index(samples, first, entries)
        )
        np.take(entries, index, out=plane)
    return planes


def _index(samples: Samples, first: int, entries: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.clip(samples.array.astype(np.int64) - first, 0, len(entries) - 1)
