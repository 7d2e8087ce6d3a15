"""Modality LUT, VOI LUT, windows, inversion: against dcmtk and against the equations of PS3.3 C.11.2.1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from fetal_monai.dicom import read_frame
from fetal_monai.dicom.decoders import Samples
from fetal_monai.dicom.grayscale import to_grey8
from fetal_monai.dicom.lookup_tables import expand_segments

RAMP = np.arange(4096, dtype=np.uint16).reshape(1, 64, 64)


def linear(x, center, width):
    return np.clip(255 * ((x - (center - 0.5)) / (width - 1) + 0.5), 0, 255)


def table(values, bits, first=0):
    item = Dataset()
    item.LUTDescriptor = [len(values) % 65536, first, bits]
    item["LUTDescriptor"].VR = "US"
    item.add_new("LUTData", "OW", np.asarray(values, "<u2").tobytes())
    return [item]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    ("elements", "options"),
    [
        ({"WindowCenter": 2000, "WindowWidth": 1000}, ("+Wi", "1")),
        ({"WindowCenter": [900, 7], "WindowWidth": [333, 7]}, ("+Wi", "1")),
        ({"WindowCenter": 2000, "WindowWidth": 1}, ("+Wi", "1")),
        ({"WindowCenter": 1500, "WindowWidth": 700, "VOILUTFunction": "SIGMOID"}, ("+Wi", "1", "+Wfs")),
        ({"WindowCenter": 100, "WindowWidth": 900, "RescaleSlope": 0.5, "RescaleIntercept": -300}, ("+Wi", "1")),
        ({"VOILUTSequence": table(np.linspace(0, 255, 3000) ** 2 // 255, 8, 500)}, ("+Wl", "1")),
        ({"VOILUTSequence": table(np.linspace(0, 65535, 4096), 16)}, ("+Wl", "1")),
        ({"ModalityLUTSequence": table(np.linspace(0, 1023, 4096), 10)}, ()),
        ({"RescaleSlope": 2, "RescaleIntercept": -100}, ()),
        ({}, ()),
    ],
)
def test_dcmtk_shows_the_same_greys(kit, tmp_path, photometric, elements, options):
    path = kit.write(tmp_path / "a.dcm", RAMP, photometric=photometric, bits=16, stored=12, elements=elements)
    ours = read_frame(path)
    assert (ours[0] == ours[1]).all()
    assert (ours[0] == ours[2]).all()
    assert np.abs(ours.astype(int) - kit.dcmtk_frames(path, tmp_path, *options)[0]).max() <= 1


def test_the_linear_window_is_the_standards_equation(kit, tmp_path):
    path = kit.write(tmp_path / "a.dcm", RAMP, bits=16, stored=12, photometric="MONOCHROME2",
                     elements={"WindowCenter": 2048.5, "WindowWidth": 1001})  # fmt: skip
    exact = linear(RAMP[0].astype(float), 2048.5, 1001)
    assert np.abs(read_frame(path)[0] - exact).max() < 1


def test_linear_exact_has_no_half_pixel(kit, tmp_path):
    elements = {"WindowCenter": 2048, "WindowWidth": 1024, "VOILUTFunction": "LINEAR_EXACT"}
    path = kit.write(tmp_path / "a.dcm", RAMP, bits=16, stored=12, photometric="MONOCHROME2", elements=elements)
    exact = np.clip(255 * ((RAMP[0] - 2048.0) / 1024 + 0.5), 0, 255)
    np.testing.assert_array_equal(read_frame(path)[0], np.floor(exact + 1e-9))


@settings(max_examples=60, deadline=None)
@given(
    center=st.floats(-5000, 5000),
    width=st.floats(1, 9000),
    signed=st.booleans(),
    bits=st.sampled_from([8, 10, 12, 16]),
)
def test_brighter_values_never_look_darker_and_monochrome1_mirrors(center, width, signed, bits):
    low = -(1 << bits - 1) if signed else 0
    values = np.arange(low, low + (1 << bits)).reshape(1, -1)
    data = Dataset()
    data.WindowCenter, data.WindowWidth = f"{center:.6g}", f"{width:.6g}"
    shown = to_grey8(Samples(values, "MONOCHROME2", bits, signed), data, little_endian=True)
    mirrored = to_grey8(Samples(values, "MONOCHROME1", bits, signed), data, little_endian=True)
    assert (np.diff(shown.astype(int)) >= 0).all()
    assert np.abs(shown.astype(int) + mirrored - 255).max() <= 1


def test_segmented_palettes_unfold():
    """The example of PS3.3 C.7.9.2: a discrete, a linear and an indirect segment."""
    words = [0, 2, 10, 20, 1, 4, 60, 2, 1, 0, 0]
    assert expand_segments(np.array(words, "<u2").tobytes(), little_endian=True, eight_bit=False) == [
        10, 20, 30, 40, 50, 60, 10, 20,
    ]  # fmt: skip


def test_a_segmented_palette_file_shows_its_colours(kit, tmp_path):
    elements = {}
    for colour in ("Red", "Green", "Blue"):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        words = [0, 1, 0, 1, 255, 65535] if colour != "Blue" else [0, 1, 65535, 1, 255, 0]
        elements[f"Segmented{colour}PaletteColorLookupTableData"] = np.array(words, "<u2").tobytes()
    index = np.arange(256).reshape(1, 16, 16)
    path = kit.write(tmp_path / "a.dcm", index, photometric="PALETTE COLOR", elements=elements)
    red, green, blue = read_frame(path)
    np.testing.assert_array_equal(red, index[0])
    np.testing.assert_array_equal(green, index[0])
    np.testing.assert_array_equal(blue, 255 - index[0])
