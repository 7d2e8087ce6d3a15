"""Pictures for a report that must stand in one file: small JPEGs and themed SVG as text."""

from __future__ import annotations

import base64
import io
import re

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fetal_monai import dicom
from fetal_monai.dicom.frame_ref import FrameRef

THUMBNAIL_WIDTH = 260
JPEG_QUALITY = 78
TALLEST = 8
"""How many times as high as it may be wide a small picture can be; JPEG ends at 65,500 pixels."""
# Colours of the figures that change with the page's theme.
THEMED = {"#000000": "currentColor", "#0b3c5d": "var(--mark)", "#56b4e9": "var(--bar)", "#808080": "var(--faint)"}


def literal(text: str) -> str:
    r"""Keep matplotlib from reading what stands between dollars as a formula.

    Args:
        text: such as the name of a class.

    Returns:
        What matplotlib shows as `text`.

    Example:
        >>> print(literal("for $5 or $6"))
        for \$5 or \$6
    """
    return text.replace("$", r"\$")


def read_frame(frame: FrameRef) -> NDArray[np.uint8]:
    """Read the frame as the scanner showed it.

    Args:
        frame: its address.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DicomReadError: if it cannot be read.
    """
    return np.ascontiguousarray(dicom.read_frame(frame.path, frame.frame).transpose(1, 2, 0))


def thumbnail(image: NDArray[np.uint8], width: int = THUMBNAIL_WIDTH) -> NDArray[np.uint8]:
    """Shrink an image to a width, keeping its shape.

    Args:
        image: (H, W, 3) uint8.
        width: in pixels; smaller images stay as they are, unless they are `TALLEST` times as high.

    Returns:
        (h, w, 3) uint8.
    """
    scale = min(width / image.shape[1], TALLEST * width / image.shape[0])
    if scale >= 1:
        return image
    while scale <= 0.5 and image.shape[0] % 2 == image.shape[1] % 2 == 0:  # the mean of four is fast
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image, scale = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), dtype=np.uint8), 2 * scale
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    way = cv2.INTER_AREA if scale <= 0.5 else cv2.INTER_LINEAR  # four neighbours cover what one pixel shrinks from
    return np.asarray(cv2.resize(image, size, interpolation=way), dtype=np.uint8)


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """Encode an image.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        A JPEG file.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)  # imencode copies a reversed view slowly
    written, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not written:
        raise ValueError(f"an image of shape {image.shape} cannot be written as JPEG")
    return encoded.tobytes()


def still_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Draw a decoded frame small, as `analyse_studies` takes it.

    Args:
        pixels: (3, H, W) uint8 RGB.

    Returns:
        A JPEG file, `THUMBNAIL_WIDTH` wide or less.
    """
    return jpeg(thumbnail(np.ascontiguousarray(pixels.transpose(1, 2, 0))))


def data_uri(image: NDArray[np.uint8] | bytes) -> str:
    """Make a JPEG inside a data URI.

    Args:
        image: (H, W, 3) uint8 RGB, or a JPEG file.

    Returns:
        Text for the `src` of an `img`.

    Example:
        >>> data_uri(np.zeros((8, 8, 3), np.uint8))[:23]
        'data:image/jpeg;base64,'
    """
    encoded = image if isinstance(image, bytes) else jpeg(image)
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode("ascii")


def themed_svg(figure: Figure, name: str, description: str) -> str:
    """Turn a figure into SVG for a page that may be light or dark.

    Args:
        figure: drawn in black and the colours of `THEMED`.
        name: of the figure, unique in the page: it prefixes the ids inside.
        description: what the figure shows, for people who don't see it.

    Returns:
        An `svg` element, with text as text.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub("|".join(THEMED), lambda match: THEMED[match.group().lower()], text, flags=re.IGNORECASE)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", text)
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
