"""Every transfer syntax and colour model that can be made, each against a decoder that we did not write.

The cases of tests/helpers/syntax_cases.py are also the source of the support table in docs/dicom.md: a row exists
because a test here proves its case.
Write the table anew with `FETAL_MONAI_WRITE_DOCS=1 pytest tests/dicom/test_compatibility.py -k support_table`.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import simplejpeg
from pydicom.encaps import generate_frames

from fetal_monai.dicom import iter_frames
from fetal_monai.dicom.decoders import supported_syntaxes
from syntax_cases import CASES, VIDEO
from transfer_syntaxes import NATIVE

try:
    import imagecodecs
except ImportError:
    imagecodecs = None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_frame_matches_an_independent_decoder_and_known_colours(case, kit, tmp_path):
    path, expected = case.write(kit, tmp_path)

    ours = np.stack(list(iter_frames(path)))

    assert ours.shape == expected.shape
    assert ours.dtype == np.uint8
    if case.known is not None:
        assert np.abs(ours.astype(int) - expected).max() <= case.known
    # The middles of the blocks survive any compression that is worth its name.
    assert np.abs(ours[..., 8::16, 8::16].astype(int) - expected[..., 8::16, 8::16]).max() <= 8
    if case.judge != "closed form":
        theirs = {
            "dcmtk": lambda: kit.dcmtk_frames(path, tmp_path, *case.options),
            "ITK": lambda: top_8_bits(kit.itk_frames(path)),
            "OpenJPH": lambda: top_8_bits(openjph_frames(path)),
            "libjpeg-turbo": lambda: libjpeg_frames(tmp_path / "a.dcm"),
            "libjxl": lambda: libjxl_frames(path),
            "FFmpeg of OpenCV": lambda: opencv_frames(tmp_path / "video"),
        }[case.judge]()
        if case.judge == "FFmpeg of OpenCV":  # which does not interpolate chroma: only away from edges
            assert ours.shape == theirs.shape
            ours, theirs = (middles(frames, 32, 8) for frames in (ours, theirs))
        assert np.abs(ours.astype(int) - theirs).max() <= case.tolerance


def openjph_frames(path):
    """All frames of an HTJ2K file by the reference implementation of HTJ2K's author; ITK and dcmtk have none."""
    data = pydicom.dcmread(path)
    frames = generate_frames(data.PixelData, number_of_frames=int(data.NumberOfFrames))
    return np.stack([imagecodecs.htj2k_decode(frame, planar=False) for frame in frames])


def libjpeg_frames(path):
    """All frames of a JPEG file by libjpeg-turbo."""
    data = pydicom.dcmread(path)
    frames = generate_frames(data.PixelData, number_of_frames=int(data.NumberOfFrames))
    return np.stack([simplejpeg.decode_jpeg(frame, "RGB").transpose(2, 0, 1) for frame in frames])


def libjxl_frames(path):
    """All frames of a JPEG XL file by another build of libjxl: there is no second decoder in Python."""
    pylibjxl = pytest.importorskip("pylibjxl", reason="install the package pylibjxl")
    data = pydicom.dcmread(path)
    frames = generate_frames(data.PixelData, number_of_frames=int(data.NumberOfFrames))
    return np.stack([pylibjxl.decode(frame).transpose(2, 0, 1) for frame in frames])


def opencv_frames(path):
    """All frames of a video by the FFmpeg that OpenCV brings along, from the first to the last."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (answer := capture.read())[0]:
        frames.append(answer[1][..., ::-1].transpose(2, 0, 1))
    return np.stack(frames)


def middles(frames, block, size):
    """The middle of every block of pixels."""
    split = frames.reshape(*frames.shape[:2], frames.shape[2] // block, block, frames.shape[3] // block, block)
    inner = slice(block // 2 - size // 2, block // 2 + size // 2)
    return split[:, :, :, inner, :, inner]


def top_8_bits(array):
    """Colours as they are, or the top 8 bits of greys, (N, 3, H, W)."""
    if array.ndim == 4:
        return array.transpose(0, 3, 1, 2)
    return np.stack([array >> (int(array.max()).bit_length() - 8)] * 3, axis=1)


def test_every_supported_syntax_has_a_case():
    proven = {case.syntax for case in CASES}
    compressed = {
        "1.2.840.10008.1.2.5": "RLE Lossless",
        "1.2.840.10008.1.2.4.50": "JPEG Baseline",
        "1.2.840.10008.1.2.4.51": "JPEG Extended",
        "1.2.840.10008.1.2.4.57": "JPEG Lossless",
        "1.2.840.10008.1.2.4.70": "JPEG Lossless, first-order",
        "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
        "1.2.840.10008.1.2.4.81": "JPEG-LS Near-lossless",
        "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
        "1.2.840.10008.1.2.4.91": "JPEG 2000",
        "1.2.840.10008.1.2.4.201": "HTJ2K Lossless",
        "1.2.840.10008.1.2.4.202": "HTJ2K Lossless RPCL",
        "1.2.840.10008.1.2.4.203": "HTJ2K",
        "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
        "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
        "1.2.840.10008.1.2.4.112": "JPEG XL",
    } | {syntax: name for name, syntax in VIDEO.items()}
    assert proven == set(NATIVE) | set(compressed.values())
    fragmentable = {f"{syntax}.1" for syntax in list(VIDEO.values())[:7]}  # the same bytes, in more fragments
    assert supported_syntaxes() == set(NATIVE.values()) | set(compressed) | fragmentable


def support_table():
    lines = ["| transfer syntax | colour model | variants | judged by |", "|---|---|---|---|"]
    rows = {}
    for case in CASES:
        judge = f"{case.judge}, {'exact' if not case.tolerance else f'within {case.tolerance}'}"
        rows.setdefault((case.syntax, case.colours), {}).setdefault(judge, []).append(case.detail)
    for (syntax, colours), judges in rows.items():
        lines += [f"| {syntax} | {colours} | {'; '.join(details)} | {judge} |" for judge, details in judges.items()]
    return "\n".join(lines)


def test_the_support_table_of_the_documentation_is_what_these_tests_prove():
    page = Path(__file__).parents[2] / "docs" / "dicom.md"
    begin, end = "<!-- support table: begin -->\n", "\n<!-- support table: end -->"
    text = page.read_text()
    head, rest = text.split(begin)
    table, tail = rest.split(end)
    if os.environ.get("FETAL_MONAI_WRITE_DOCS"):
        page.write_text(head + begin + support_table() + end + tail)
        table = support_table()
    assert table == support_table()
