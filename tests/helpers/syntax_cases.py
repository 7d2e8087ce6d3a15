"""Every transfer syntax and colour model that can be made: how to write it, and how near another decoder must be.

`CASES` is what tests/dicom/test_compatibility.py proves, and the source of the support table in docs/dicom.md.
"""

from dataclasses import dataclass

from transfer_syntaxes import (
    NATIVE,
    bitmap,
    deep_colour,
    grey,
    htj2k,
    jpeg,
    jpeg2000,
    jpegxl,
    native,
    palette,
    recompressed,
    via,
    video,
)


@dataclass(frozen=True)
class Case:
    """One combination, how to write it, and how near an independent decoder must be."""

    syntax: str
    colours: str
    detail: str
    write: object
    judge: str = "dcmtk"
    tolerance: int = 0
    known: int | None = 0
    options: tuple[str, ...] = ()

    @property
    def id(self):
        return f"{self.syntax} / {self.colours} / {self.detail}".replace(" ", "_")


VIDEO = {
    "MPEG-2 Main Profile, Main Level": "1.2.840.10008.1.2.4.100",
    "MPEG-2 Main Profile, High Level": "1.2.840.10008.1.2.4.101",
    "H.264 High Profile": "1.2.840.10008.1.2.4.102",
    "H.264 High Profile, BD-compatible": "1.2.840.10008.1.2.4.103",
    "H.264 High Profile, 2D video": "1.2.840.10008.1.2.4.104",
    "H.264 High Profile, 3D video": "1.2.840.10008.1.2.4.105",
    "H.264 Stereo High Profile": "1.2.840.10008.1.2.4.106",
    "HEVC Main Profile": "1.2.840.10008.1.2.4.107",
    "HEVC Main 10 Profile": "1.2.840.10008.1.2.4.108",
}
LITTLE = native("Explicit VR Little Endian")
GREY_12 = grey("Explicit VR Little Endian", bits=16, stored=12)
GREY_8 = grey("Explicit VR Little Endian")
PALETTE = palette("Explicit VR Little Endian", "word")
CASES = [
    *[Case(name, "RGB", f"planar {planar}", native(name, planar=planar)) for name in NATIVE for planar in (0, 1)],
    *[Case(name, "RGB", "16 bits", deep_colour(name)) for name in NATIVE],
    *[
        Case(name, "YBR_FULL", f"planar {p}", native(name, "YBR_FULL", planar=p), tolerance=2)
        for name in NATIVE
        for p in (0, 1)
    ],
    *[Case(name, "YBR_FULL_422", "8 bits", native(name, "YBR_FULL_422"), tolerance=2) for name in NATIVE],
    *[Case(name, "YBR_PARTIAL_422", "8 bits", native(name, "YBR_PARTIAL_422"), "closed form") for name in NATIVE],
    *[Case(name, "MONOCHROME2", "8 bits", grey(name)) for name in NATIVE],
    *[Case(name, "MONOCHROME1", "8 bits", grey(name, "MONOCHROME1"), tolerance=1) for name in NATIVE],
    *[
        Case(
            name,
            photometric,
            f"{stored} of 16 bits{', signed' * signed}",
            grey(name, photometric, 16, stored, None, signed),
            tolerance=int(photometric == "MONOCHROME1"),
        )
        for name in ("Explicit VR Little Endian", "Explicit VR Big Endian")
        for photometric in ("MONOCHROME1", "MONOCHROME2")
        for stored in (10, 12, 16)
        for signed in (False, True)
    ],
    *[
        Case(
            "Explicit VR Little Endian",
            "MONOCHROME2",
            f"{stored} of {bits} bits, high bit {high}, others in use",
            grey("Explicit VR Little Endian", "MONOCHROME2", bits, stored, high, signed, junk=True),
        )
        for bits, stored, high, signed in ((16, 12, 15, False), (16, 12, 11, True), (16, 10, 12, False))
    ],
    *[Case(name, "PALETTE COLOR", "8-bit entries", palette(name)) for name in NATIVE],
    *[Case(name, "PALETTE COLOR", "16-bit entries", palette(name, "word")) for name in NATIVE],
    *[
        Case(name, "PALETTE COLOR", "16-bit entries that peak at 255", palette(name, "low word"), options=("+Mc",))
        for name in NATIVE
    ],
    Case(
        "Explicit VR Little Endian",
        "PALETTE COLOR",
        "16-bit indices, first entry 7",
        palette("Explicit VR Little Endian", "word", 16, 7),
    ),
    *[
        Case("RLE Lossless", colours, detail, via("dcmcrle", source), tolerance=tolerance)
        for colours, detail, source, tolerance in (
            ("RGB", "planar 0", LITTLE, 0),
            ("RGB", "planar 1", native("Explicit VR Little Endian", planar=1), 0),
            ("YBR_FULL", "8 bits", native("Explicit VR Little Endian", "YBR_FULL"), 2),
            ("MONOCHROME2", "8 bits", GREY_8, 0),
            ("MONOCHROME1", "12 of 16 bits", grey("Explicit VR Little Endian", "MONOCHROME1", 16, 12), 1),
            ("PALETTE COLOR", "16-bit entries", PALETTE, 0),
        )
    ],
    *[
        Case("JPEG Baseline", colours, detail, jpeg(colours, sub, markers), tolerance=2, known=None)
        for colours, detail, sub, markers in (
            ("YBR_FULL", "4:4:4, JFIF", "444", True),
            ("YBR_FULL_422", "4:2:2, JFIF", "422", True),
            ("YBR_FULL_422", "4:2:2, no markers", "422", False),
            ("YBR_FULL", "4:4:4, no markers", "444", False),
            ("MONOCHROME2", "8 bits", "444", True),
        )
    ],
    Case("JPEG Baseline", "RGB", "stored as RGB", via("dcmcjpeg", LITTLE, "+eb", "+cr"), tolerance=2, known=None),
    Case("JPEG Baseline", "RGB", "but the markers say YCbCr: they win", jpeg("RGB"), "dcmtk", 2, None, ("+cg",)),
    Case(
        "JPEG Extended", "MONOCHROME2", "12 bits", via("dcmcjpeg", GREY_12, "+ee", "+q", "95"), tolerance=2, known=None
    ),
    Case(
        "JPEG Extended",
        "MONOCHROME2",
        "8 bits",
        via("dcmcjpeg", GREY_8, "+ee", "+q", "95", "+be"),
        tolerance=2,
        known=None,
    ),
    *[
        Case(
            "JPEG Lossless",
            colours,
            f"{detail}, predictor {predictor}",
            via("dcmcjpeg", source, "+el", "+sv", predictor),
        )
        for predictor in (1, 2, 3, 4, 5, 6, 7)
        for colours, detail, source in (("RGB", "8 bits", LITTLE), ("MONOCHROME2", "12 bits", GREY_12))
    ],
    *[
        Case(
            "JPEG Lossless, first-order",
            colours,
            detail,
            via("dcmcjpeg", source, "+e1"),
            tolerance=int(colours[-1] == "1"),
        )
        for colours, detail, source in (
            ("RGB", "8 bits", LITTLE),
            ("MONOCHROME1", "16 bits", grey("Explicit VR Little Endian", "MONOCHROME1", 16, 16)),
            ("MONOCHROME2", "12 bits, signed", grey("Explicit VR Little Endian", "MONOCHROME2", 16, 12, None, True)),
            ("PALETTE COLOR", "16-bit entries", PALETTE),
        )
    ],
    *[
        Case("JPEG-LS Lossless", colours, detail, via("dcmcjpls", source, *options))
        for colours, detail, source, options in (
            ("RGB", "by line", LITTLE, ("+il",)),
            ("RGB", "by sample", LITTLE, ("+is",)),
            ("RGB", "by plane", LITTLE, ("+in",)),
            ("MONOCHROME2", "8 bits", GREY_8, ()),
            ("MONOCHROME2", "12 bits", GREY_12, ()),
            ("PALETTE COLOR", "16-bit entries", PALETTE, ()),
        )
    ],
    *[
        Case("JPEG-LS Near-lossless", colours, detail, via("dcmcjpls", source, "+en", "+md", "2"), known=None)
        for colours, detail, source in (("RGB", "8 bits", LITTLE), ("MONOCHROME2", "8 bits", GREY_8))
    ],
    Case("JPEG 2000 Lossless", "YBR_RCT", "8 bits", jpeg2000("YBR_RCT"), "ITK"),
    Case("JPEG 2000 Lossless", "RGB", "8 bits, transformed all the same", jpeg2000("RGB"), "ITK"),
    Case("JPEG 2000 Lossless", "YBR_FULL", "8 bits", jpeg2000("YBR_FULL"), "closed form"),
    Case(
        "JPEG 2000 Lossless",
        "YBR_FULL",
        "but transformed by the codestream: it wins",
        jpeg2000("YBR_FULL", mct=True),
        "closed form",
    ),
    *[
        Case("JPEG 2000 Lossless", "MONOCHROME2", f"{bits} bits", jpeg2000("MONOCHROME2", bits=bits), "ITK")
        for bits in (8, 12, 16)
    ],
    Case(
        "JPEG 2000",
        "YBR_ICT",
        "8 bits",
        jpeg2000("YBR_ICT", "1.2.840.10008.1.2.4.91", signal_noise_ratios=[45]),
        "ITK",
        2,
        None,
    ),
    Case("HTJ2K Lossless", "YBR_RCT", "8 bits", htj2k("YBR_RCT", 1), "OpenJPH"),
    Case("HTJ2K Lossless", "RGB", "8 bits", htj2k("RGB", 1, mct=False), "OpenJPH"),
    Case("HTJ2K Lossless", "YBR_FULL", "8 bits", htj2k("YBR_FULL", 1), "closed form"),
    *[
        Case("HTJ2K Lossless", "MONOCHROME2", detail, htj2k("MONOCHROME2", 1, bits=bits), "OpenJPH")
        for bits, detail in ((8, "8 bits"), (12, "12 bits in a codestream of 16"), (16, "16 bits"))
    ],
    Case("HTJ2K Lossless RPCL", "YBR_RCT", "8 bits, tile-part lengths", htj2k("YBR_RCT", 2, tlm=True), "OpenJPH"),
    # Coarser steps overshoot at pure colours, where OpenJPH 0.26 wraps around instead of clipping.
    Case("HTJ2K", "YBR_ICT", "8 bits", htj2k("YBR_ICT", 3, level=0.001, reversible=False), "OpenJPH", 2, None),
    Case("JPEG XL Lossless", "RGB", "8 bits", jpegxl("RGB"), "closed form"),
    Case("JPEG XL Lossless", "RGB", "8 bits, in a container", jpegxl("RGB", usecontainer=True), "closed form"),
    Case("JPEG XL Lossless", "YBR_FULL", "8 bits", jpegxl("YBR_FULL"), "closed form"),
    *[
        Case("JPEG XL Lossless", "MONOCHROME2", f"{bits} bits", jpegxl("MONOCHROME2", bits=bits), "closed form")
        for bits in (8, 12, 16)
    ],
    *[
        Case("JPEG XL JPEG Recompression", colours, detail, recompressed(colours, sub), "libjpeg-turbo", 3, None)
        for colours, detail, sub in (
            ("YBR_FULL", "4:4:4", "444"),
            ("YBR_FULL_422", "4:2:2", "422"),
            ("MONOCHROME2", "8 bits", "444"),
        )
    ],
    Case("JPEG XL", "XYB", "8 bits", jpegxl("XYB", 2, mct=True, lossless=False, distance=0.3), "libjxl", 1, None),
    *[Case(name, "MONOCHROME2", "1 bit", bitmap(name)) for name in NATIVE],
    *[
        Case(syntax, "YBR_PARTIAL_420", detail, video(codec, VIDEO[syntax], form, pixels), "FFmpeg of OpenCV", 5, None)
        for syntax, codec, detail, form, pixels in (
            ("MPEG-2 Main Profile, Main Level", "mpeg2video", "bare stream", None, "yuv420p"),
            ("MPEG-2 Main Profile, Main Level", "mpeg2video", "program stream", "vob", "yuv420p"),
            ("MPEG-2 Main Profile, Main Level", "mpeg2video", "transport stream", "mpegts", "yuv420p"),
            ("MPEG-2 Main Profile, High Level", "mpeg2video", "transport stream", "mpegts", "yuv420p"),
            ("H.264 High Profile", "h264", "bare stream", None, "yuv420p"),
            ("H.264 High Profile", "h264", "transport stream", "mpegts", "yuv420p"),
            ("H.264 High Profile", "h264", "MP4", "mp4", "yuv420p"),
            ("H.264 High Profile, BD-compatible", "h264", "MP4", "mp4", "yuv420p"),
            ("H.264 High Profile, 2D video", "h264", "MP4", "mp4", "yuv420p"),
            ("H.264 High Profile, 3D video", "h264", "MP4", "mp4", "yuv420p"),
            ("H.264 Stereo High Profile", "h264", "MP4", "mp4", "yuv420p"),
            ("HEVC Main Profile", "hevc", "bare stream", None, "yuv420p"),
            ("HEVC Main Profile", "hevc", "MP4", "mp4", "yuv420p"),
            ("HEVC Main 10 Profile", "hevc", "MP4", "mp4", "yuv420p10le"),
        )
    ],
]
