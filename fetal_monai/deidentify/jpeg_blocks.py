"""Blanking blocks of a JPEG image in its coefficients: what is kept is not compressed again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_monai.deidentify.profile import require_package
from fetal_monai.dicom.codestream import Codestream, jpeg_segments

_FEINT = 12  # grey levels: the most contrast within 5 x 5 pixels in which no one reads a letter
_JFIF, _ADOBE = 0xE0, 0xEE
_COMMENT, _APPLICATION = 0xFE, range(0xE0, 0xF0)

Blocks = NDArray[np.bool_]


def blocks_to_keep(stream: Codestream, mask: NDArray[np.bool_]) -> list[Blocks]:
    """Find the blocks that pixels depend on.

    Args:
        stream: the facts of the JPEG image.
        mask: (rows, columns), True where pixels must stay.

    Returns:
        For each component which of its blocks of 8 x 8 samples stay. A subsampled block covers more pixels, and
        decoders interpolate between samples, so one sample more on each side counts.
    """
    kept: list[Blocks] = []
    for wide, high in _steps(stream):
        across, down = (step if step > 1 else 0 for step in (wide, high))
        kernel = np.ones((2 * down + 1, 2 * across + 1), np.uint8)
        wanted = cv2.dilate(mask.view(np.uint8), kernel)
        shape = math.ceil(stream.rows / (8 * high)), math.ceil(stream.columns / (8 * wide))
        padded = np.zeros((shape[0] * 8 * high, shape[1] * 8 * wide), bool)
        padded[: stream.rows, : stream.columns] = wanted
        kept.append(np.asarray(padded.reshape(shape[0], 8 * high, shape[1], 8 * wide).any(axis=(1, 3))))
    return kept


def _steps(stream: Codestream) -> list[tuple[int, int]]:
    """Pixels per sample, across and down, of each component."""
    wide, high = (max(factors) for factors in zip(*stream.sampling, strict=True))
    return [(wide // across, high // down) for across, down in stream.sampling]


def blocks_allow(stream: Codestream) -> bool:
    """Say whether this module understands the image: Baseline of 8 bits with whole steps between samples."""
    factors = stream.sampling
    return (
        stream.sequential
        and stream.precision == 8
        and all(0 not in pair for pair in factors)
        and all(max(side) % one == 0 for side in zip(*factors, strict=True) for one in side)
    )


def is_plain_beside(frame: NDArray[np.uint8], stream: Codestream, mask: NDArray[np.bool_]) -> bool:
    """Whether nothing can be read in what kept blocks show beside the pixels that they are kept for.

    Args:
        frame: (rows, columns) or (rows, columns, 3), decoded after the blanking.
        stream: the facts of the JPEG image.
        mask: the pixels that must stay.

    Returns:
        False where there is more contrast than noise.
    """
    shown = []
    for blocks, (wide, high) in zip(blocks_to_keep(stream, mask), _steps(stream), strict=True):
        pixels = blocks.repeat(8 * high, axis=0).repeat(8 * wide, axis=1)
        shown.append(pixels[: stream.rows, : stream.columns] & ~mask)
    light = shown[0]
    tinted = np.any(shown, axis=0) & ~light
    if tinted.any() and int(frame[tinted].max()) > _FEINT:
        return False
    if not light.any():
        return True
    window = np.ones((5, 5), np.uint8)
    away = ~light if frame.ndim == 2 else np.repeat(~light[..., None], 3, axis=2)
    highest = cv2.dilate(np.where(away, np.uint8(0), frame), window).astype(int)
    lowest = cv2.erode(np.where(away, np.uint8(255), frame), window)
    return int((highest - lowest)[light].max()) <= _FEINT


def blank_blocks(data: bytes, kept: Sequence[Blocks], dark: Sequence[bool], folder: Path) -> bytes:
    """Blank all other blocks.

    Args:
        data: a JPEG image of one or three components.
        kept: for each component the blocks that stay, bit for bit.
        dark: for each component whether blank is 0 (light: black) or the middle (colour: none).
        folder: for files that exist meanwhile; they hold the image.

    Returns:
        The image with the quantisation, sampling and colour markers that it had, and no other application data.

    Raises:
        ValueError: if the blocks are not those of the image.
    """
    jpeglib = require_package("jpeglib", "jpeglib")
    source, target = folder / "source.jpg", folder / "target.jpg"
    source.write_bytes(data)
    image = jpeglib.read_dct(source)
    image.load()
    components = [image.Y, image.Cb, image.Cr][: len(kept)]
    for index, (coefficients, blocks, black) in enumerate(zip(components, kept, dark, strict=True)):
        if coefficients is None or coefficients.shape[:2] != blocks.shape:
            raise ValueError("the blocks are not those of the image")
        coefficients[~blocks] = 0
        if black:
            coefficients[~blocks, 0, 0] = -math.ceil(1024 / int(image.get_component_qt(index)[0, 0]))
    image.write_dct(str(target))
    return _with_markers_of(data, target.read_bytes())


def _with_markers_of(source: bytes, target: bytes) -> bytes:
    """The target with the markers of colour that the source has, without thumbnails, comments and all else."""
    parts = [b"\xff\xd8"]
    for marker, body, _ in jpeg_segments(source):
        if len(body) < 12:  # too short for either, and so for libjpeg none
            continue
        if marker == _JFIF and body[:5] == b"JFIF\0":
            parts.append(b"\xff\xe0\x00\x10" + body[:12] + b"\0\0")
        elif marker == _ADOBE and body[:5] == b"Adobe":
            parts.append(b"\xff\xee\x00\x0e" + body[:12])
    scan = 0
    for marker, body, scan in jpeg_segments(target):
        if marker not in _APPLICATION and marker not in {_COMMENT, 0xDA}:
            parts.append(target[scan : scan + 4 + len(body)])
    return b"".join([*parts, target[scan:]])
