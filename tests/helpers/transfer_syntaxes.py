"""Writers of every transfer syntax and colour model that can be made: (kit, folder) -> the file and its true frames."""

import numpy as np
import pydicom
import pytest
import simplejpeg
from pydicom.encaps import generate_frames

from videos import SYNTAX, encode

try:
    import imagecodecs
except ImportError:
    imagecodecs = None

NATIVE = {
    "Implicit VR Little Endian": "1.2.840.10008.1.2",
    "Explicit VR Little Endian": "1.2.840.10008.1.2.1",
    "Explicit VR Big Endian": "1.2.840.10008.1.2.2",
    "Deflated Explicit VR Little Endian": "1.2.840.10008.1.2.1.99",
}
FULL = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])


def to_ycc(rgb, partial=False):
    """Closed form of PS3.3 C.7.6.3.1.2, rounded: what a writer stores."""
    ycc = rgb @ FULL.T
    scale, offset = (np.array([219, 224, 224]) / 255, [16, 128, 128]) if partial else (1, [0, 128, 128])
    return np.clip(np.rint(ycc * scale + offset), 0, 255).astype(np.uint8)


def from_ycc(ycc, partial=False):
    """Its inverse, rounded."""
    scale, offset = (np.array([219, 224, 224]) / 255, [16, 128, 128]) if partial else (1, [0, 128, 128])
    return np.clip(np.rint((ycc.astype(float) - offset) / scale @ np.linalg.inv(FULL).T), 0, 255).astype(np.uint8)


def fold_422(ycc):
    """Bytes of 4:2:2 pixels, and the pixels that they unfold to."""
    pairs = ycc.reshape(*ycc.shape[:2], -1, 2, 3)
    quads = np.concatenate([pairs[..., 0], pairs[..., 0, 1:]], axis=-1)
    unfolded = pairs.copy()
    unfolded[..., 1, 1:] = pairs[..., 0, 1:]
    return quads.tobytes(), unfolded.reshape(ycc.shape)


def native(name, photometric="RGB", **options):
    def write(kit, folder):
        frames = kit.frames()
        expected, values = frames, frames
        partial = "PARTIAL" in photometric
        if photometric.startswith("YBR"):
            values = to_ycc(frames, partial)
            pixels = None
            if photometric.endswith("422"):
                pixels, values = fold_422(values)
            expected = from_ycc(values, partial)
            path = kit.write(
                folder / "a.dcm", values, photometric=photometric, syntax=NATIVE[name], pixels=pixels, **options
            )
        else:
            path = kit.write(folder / "a.dcm", values, photometric=photometric, syntax=NATIVE[name], **options)
        return path, expected.transpose(0, 3, 1, 2)

    return write


def deep_colour(name):
    def write(kit, folder):
        frames = kit.frames()
        return kit.write(
            folder / "a.dcm", frames.astype(np.uint16) * 257, bits=16, syntax=NATIVE[name]
        ), frames.transpose(0, 3, 1, 2)

    return write


def grey(name, photometric="MONOCHROME2", bits=8, stored=8, high=None, signed=False, junk=False):
    def write(kit, folder):
        level = kit.frames()[..., 0]
        top = (
            level.astype(np.int64) << (stored - 8) | level >> max(16 - stored, 0)
            if stored >= 8
            else level >> (8 - stored)
        )
        values = top - (1 << stored - 1) if signed else top
        shift = (stored - 1 if high is None else high) + 1 - stored
        words = (values & (1 << stored) - 1) << shift
        if junk:  # overlays and the like used to live in the bits that the value leaves free
            words |= ~(((1 << stored) - 1) << shift) & (1 << bits) - 1
        kind = f"{'>' if 'Big' in name else '<'}u{bits // 8}"
        path = kit.write(
            folder / "a.dcm",
            values,
            photometric=photometric,
            bits=bits,
            stored=stored,
            high=high,
            signed=signed,
            syntax=NATIVE[name],
            pixels=words.astype(kind).tobytes(),
        )
        shown = top >> (stored - 8)
        shown = 255 - shown if photometric == "MONOCHROME1" else shown
        return path, np.stack([shown.astype(np.uint8)] * 3, axis=1)

    return write


def palette(name, entries="byte", bits=8, first=0):
    """`entries`: bytes; words of 16 bits; or words that peak at 255 although the descriptor says 16."""

    def write(kit, folder):
        frames = kit.frames()
        table, index = np.unique(frames.reshape(-1, 3), axis=0, return_inverse=True)
        count = 256 if bits == 8 else len(table)
        table = np.pad(table, ((0, count - len(table)), (0, 0)))
        order = ">" if "Big" in name else "<"
        elements = {}
        for column, colour in enumerate(("Red", "Green", "Blue")):
            values = table[:, column]
            words = values.astype(np.uint16) * (257 if entries == "word" else 1)
            raw = values.tobytes() if entries == "byte" else words.astype(f"{order}u2").tobytes()
            if entries == "byte" and order == ">":  # bytes travel in words, which turn
                raw = np.frombuffer(raw, "<u2").astype(">u2").tobytes()
            elements[f"{colour}PaletteColorLookupTableDescriptor"] = [count, first, 8 if entries == "byte" else 16]
            elements[f"{colour}PaletteColorLookupTableData"] = raw
        path = kit.write(
            folder / "a.dcm",
            index.reshape(frames.shape[:3]) + first,
            photometric="PALETTE COLOR",
            bits=bits,
            syntax=NATIVE[name],
            elements=elements,
        )
        return path, frames.transpose(0, 3, 1, 2)

    return write


def via(tool, source, *options):
    """What dcmtk's encoders make of an uncompressed file."""

    def write(kit, folder):
        path, expected = source(kit, folder)
        out = folder / "b.dcm"
        kit.dcmtk(tool, *options, path, out)
        return out, expected

    return write


def strip_markers(data):
    """A JPEG without its JFIF and Adobe segments."""
    out, position = bytearray(data[:2]), 2
    while data[position + 1] != 0xDA:
        length = int.from_bytes(data[position + 2 : position + 4], "big") + 2
        if data[position + 1] not in (0xE0, 0xEE):
            out += data[position : position + length]
        position += length
    return bytes(out + data[position:])


def jpeg(photometric, subsampling="444", markers=True, **options):
    def write(kit, folder):
        frames = kit.frames()
        if photometric == "MONOCHROME2":
            frames = frames[..., :1].repeat(3, -1)
            encoded = [simplejpeg.encode_jpeg(np.ascontiguousarray(f[..., :1]), 95, colorspace="GRAY") for f in frames]
        else:
            encoded = [
                simplejpeg.encode_jpeg(np.ascontiguousarray(f), 95, colorsubsampling=subsampling) for f in frames
            ]
        encoded = encoded if markers else [strip_markers(data) for data in encoded]
        stored = frames[..., 0] if photometric == "MONOCHROME2" else frames
        path = kit.write(
            folder / "a.dcm",
            stored,
            photometric=photometric,
            encoded=encoded,
            syntax="1.2.840.10008.1.2.4.50",
            **options,
        )
        return path, frames.transpose(0, 3, 1, 2)

    return write


def by_openjpeg(frame, bits, transformed, **options):
    openjpeg = pytest.importorskip("openjpeg.utils", reason="install the package pylibjpeg-openjpeg")
    colour = {"use_mct": transformed, "photometric_interpretation": 1} if frame.ndim == 3 else {}
    return bytes(
        openjpeg.encode_array(frame, **{"bits_stored": bits, "photometric_interpretation": 2} | colour, **options)
    )


def by_openjph(frame, bits, transformed, **options):
    """Its codestreams have the precision of the array's type: 8 or 16 bits."""
    if imagecodecs is None:
        pytest.skip("HTJ2K needs OpenJPH: install the package imagecodecs")
    array = np.ascontiguousarray(frame, np.uint8 if bits == 8 else np.uint16)
    return bytes(imagecodecs.htj2k_encode(array, rgb=transformed, **options))


def jpeg2000(photometric, syntax="1.2.840.10008.1.2.4.90", bits=8, mct=None, encode=by_openjpeg, **options):
    def write(kit, folder):
        frames = kit.frames()
        if photometric == "MONOCHROME2":
            values = frames[..., 0].astype(np.uint16) << (bits - 8)
            encoded = [encode(f, bits, False, **options) for f in values]
            path = kit.write(
                folder / "a.dcm", values, photometric=photometric, encoded=encoded, syntax=syntax, bits=16, stored=bits
            )
            return path, frames[..., :1].repeat(3, -1).transpose(0, 3, 1, 2)
        transformed = photometric != "YBR_FULL" if mct is None else mct
        values = to_ycc(frames) if photometric == "YBR_FULL" and not transformed else frames
        expected = from_ycc(values) if values is not frames else frames
        encoded = [encode(f, 8, transformed, **options) for f in values]
        return kit.write(
            folder / "a.dcm", values, photometric=photometric, encoded=encoded, syntax=syntax
        ), expected.transpose(0, 3, 1, 2)

    return write


def htj2k(photometric, digit, **options):
    return jpeg2000(photometric, f"1.2.840.10008.1.2.4.20{digit}", encode=by_openjph, **options)


def by_libjxl(frame, bits, transformed, **options):
    if imagecodecs is None:
        pytest.skip("JPEG XL needs an encoder: install the package imagecodecs")
    array = np.ascontiguousarray(frame, np.uint8 if bits == 8 else np.uint16)
    return bytes(imagecodecs.jpegxl_encode(array, bitspersample=bits, **({"lossless": True} | options)))


def jpegxl(photometric, digit=0, **options):
    return jpeg2000(photometric, f"1.2.840.10008.1.2.4.11{digit}", encode=by_libjxl, **options)


def recompressed(photometric, subsampling="444"):
    """JPEG Baseline images as JPEG XL, from which they can be had back bit by bit."""

    def write(kit, folder):
        if imagecodecs is None:
            pytest.skip("JPEG XL needs an encoder: install the package imagecodecs")
        path, expected = jpeg(photometric, subsampling)(kit, folder)
        data = pydicom.dcmread(path)
        images = generate_frames(data.PixelData, number_of_frames=len(expected))
        encoded = [bytes(imagecodecs.jpegxl_encode_jpeg(image)) for image in images]
        stored = expected[:, 0] if photometric == "MONOCHROME2" else expected.transpose(0, 2, 3, 1)
        syntax = "1.2.840.10008.1.2.4.111"
        return kit.write(folder / "b.dcm", stored, photometric=photometric, encoded=encoded, syntax=syntax), expected

    return write


def video(codec, syntax=None, form=None, pixels="yuv420p"):
    """Blocks of known colours, enlarged so that the chroma of a block's middle knows no other."""

    def write(kit, folder):
        frames = kit.frames(block=32)
        data = encode(frames, codec, form, pixels=pixels)
        (folder / "video").write_bytes(data)
        path = kit.write(
            folder / "a.dcm",
            frames,
            photometric="YBR_PARTIAL_420",
            encoded=[data],
            syntax=syntax or SYNTAX[codec],
            elements={"FrameTime": 40},
        )
        return path, frames.transpose(0, 3, 1, 2)

    return write


def bitmap(name):
    def write(kit, folder):
        bits = kit.frames()[..., 0] > 100
        bits = bits[:, :45, :61]  # frames that begin in the middle of a byte
        packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
        packed += b"\0" * (len(packed) % 2)
        if "Big" in name:
            packed = np.frombuffer(packed, "<u2").astype(">u2").tobytes()
        path = kit.write(
            folder / "a.dcm", bits, photometric="MONOCHROME2", bits=1, stored=1, syntax=NATIVE[name], pixels=packed
        )
        return path, np.stack([bits * np.uint8(128)] * 3, axis=1)

    return write
