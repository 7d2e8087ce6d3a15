"""Bad files: one exception that names path, frame, cause and remedy; quickly, and without eating memory."""

import functools
import pickle
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import LoadImaged

from fetal_monai.dicom import FrameRef, Limits, UltrasoundInstance, UltrasoundReader, read_frame
from fetal_monai.errors import DicomReadError

BASELINE, LOSSLESS, JPEG_LS, J2K = (f"1.2.840.10008.1.2.4.{number}" for number in (50, 70, 80, 90))
JPEG_XL, H264 = "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.102"
RLE = "1.2.840.10008.1.2.5"


@pytest.fixture
def jpegs(kit):
    return [simplejpeg.encode_jpeg(np.ascontiguousarray(frame), 90) for frame in kit.frames()]


def refusal(path, frame=-1, limits=None):
    with pytest.raises(DicomReadError) as caught:
        read_frame(path, frame, limits=limits or Limits())
    error = caught.value
    assert error.path == str(path)
    assert error.cause
    assert error.remedy
    assert error.cause in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    return str(error)


def test_a_missing_file_a_directory_an_empty_file_and_another_format(tmp_path):
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "text.dcm").write_text("no DICOM " * 100)
    (tmp_path / "zeros.dcm").write_bytes(bytes(10_000))
    assert "No such file" in refusal(tmp_path / "missing.dcm")
    assert "directory" in refusal(tmp_path)
    assert "the file is empty" in refusal(tmp_path / "empty.dcm")
    assert "not a DICOM file" in refusal(tmp_path / "text.dcm")
    assert "not a DICOM file" in refusal(tmp_path / "zeros.dcm")


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Rows": None}, "Rows is missing"),
        ({"Columns": 0}, "Columns is 0"),
        ({"NumberOfFrames": -1}, "NumberOfFrames is -1"),
        ({"NumberOfFrames": 2_000_000_000}, "exceed the limit"),
        ({"Rows": 65535, "Columns": 65535}, "exceed the limit"),
        ({"SamplesPerPixel": 4}, "SamplesPerPixel is 4"),
        ({"BitsAllocated": 12}, "BitsAllocated is 12"),
        ({"BitsStored": 9}, "do not fit"),
        ({"PhotometricInterpretation": "CMYK"}, "'CMYK' is unknown"),
        ({"PhotometricInterpretation": "YBR_RCT"}, "'YBR_RCT' is unknown"),
        ({"PixelData": None}, "no pixel data"),
        ({"PixelData": b"\0" * 10}, "the pixel data has 10 bytes"),
        ({"NumberOfFrames": 4}, "the pixel data has"),
    ],
)
def test_absurd_headers(kit, tmp_path, elements, words):
    path = kit.write(tmp_path / "a.dcm", kit.frames(1), elements=elements)
    assert words in refusal(path, 3 if elements == {"NumberOfFrames": 4} else -1)


def test_a_palette_that_is_missing_or_short(kit, tmp_path):
    colours = ("Red", "Green", "Blue")
    tables = {f"{colour}PaletteColorLookupTableDescriptor": [256, 0, 8] for colour in colours}
    short = {**tables, **{f"{colour}PaletteColorLookupTableData": bytes(10) for colour in colours}}
    grey = kit.frames(1)[..., 0]
    assert "lookup table" in refusal(kit.write(tmp_path / "a.dcm", grey, photometric="PALETTE COLOR"))
    missing = kit.write(tmp_path / "b.dcm", grey, photometric="PALETTE COLOR", elements=tables)
    assert "red palette is missing" in refusal(missing)
    assert "10 of its 256" in refusal(kit.write(tmp_path / "c.dcm", grey, photometric="PALETTE COLOR", elements=short))


def test_a_clip_needs_a_frame_and_a_still_takes_two(kit, tmp_path):
    clip = kit.write(tmp_path / "clip.dcm", kit.frames(3))
    still = kit.write(tmp_path / "still.dcm", kit.frames(1))
    assert "clip of 3 frames" in refusal(clip)
    assert "frame 3: there is no such frame: the file has 3" in refusal(clip, 3)
    assert "no such frame" in refusal(clip, -2)
    assert "use -1 or 0" in refusal(still, 1)
    np.testing.assert_array_equal(read_frame(still, -1), read_frame(still, 0))


def test_a_truncated_file_still_gives_the_frames_it_has(kit, tmp_path, jpegs):
    path = kit.write(tmp_path / "a.dcm", kit.frames(3), encoded=jpegs, syntax=BASELINE)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(jpegs[2]) + 30])
    assert read_frame(path, 1).shape == (3, 48, 64)
    assert "truncated inside the frame" in refusal(path, 2)
    path.write_bytes(whole[: whole.index(jpegs[1]) - 8])
    assert read_frame(path, 0).shape == (3, 48, 64)
    assert "only 1 frames are in the file" in refusal(path, 1)


def test_every_truncation_of_a_file_is_refused_or_read(kit, tmp_path, jpegs):
    whole = kit.write(tmp_path / "a.dcm", kit.frames(1), encoded=jpegs[:1], syntax=BASELINE).read_bytes()
    path = tmp_path / "cut.dcm"
    for length in range(0, len(whole), 23):
        path.write_bytes(whole[:length])
        refusal(path)


@pytest.mark.parametrize("syntax", [BASELINE, LOSSLESS, JPEG_LS, J2K, JPEG_XL, H264, RLE])
def test_a_fragment_that_is_not_what_the_syntax_says(kit, tmp_path, jpegs, syntax):
    others = {"noise": b"\x01\x02" * 200, "zeros": bytes(400), "JPEG 2000": b"\xff\x4f\xff\x51" + bytes(400)}
    if syntax != BASELINE:
        others["JPEG Baseline"] = jpegs[0]
    for name, data in others.items():
        refusal(kit.write(tmp_path / f"{name}.dcm", kit.frames(1), encoded=[data], syntax=syntax))


def test_a_jpeg_ls_image_without_its_end_is_refused_before_charls_searches_for_it(kit, tmp_path):
    whole = bytes(pytest.importorskip("jpeg_ls").encode(np.ascontiguousarray(kit.frames()[0])))
    assert whole.endswith(b"\xff\xd9")
    write = functools.partial(kit.write, frames=kit.frames(1), syntax=JPEG_LS)
    assert read_frame(write(tmp_path / "whole.dcm", encoded=[whole])).shape == (3, 48, 64)
    assert "no end marker" in refusal(write(tmp_path / "cut.dcm", encoded=[whole[:-2]]))
    assert "no end marker" in refusal(write(tmp_path / "flipped.dcm", encoded=[whole[:-2] + b"\xbf\xd9"]))


def test_a_compressed_frame_of_another_size(kit, tmp_path, jpegs):
    path = kit.write(tmp_path / "a.dcm", kit.frames(1), encoded=jpegs[:1], syntax=BASELINE, size=(96, 64))
    assert "48 x 64, the header says 96 x 64" in refusal(path)


def test_an_unsupported_syntax_and_a_missing_package_are_named(kit, tmp_path, jpegs, monkeypatch):
    jpip = kit.write(tmp_path / "a.dcm", kit.frames(1), encoded=jpegs[:1], syntax="1.2.840.10008.1.2.4.94")
    assert "JPIP Referenced" in refusal(jpip)
    needed = {BASELINE: "simplejpeg", JPEG_XL: "imagecodecs", H264: "av"}
    jpegxl = (0x0AFF | 1 << 16 | 5 << 17 | 0 << 22 | 7 << 25 | 1 << 30).to_bytes(8, "little")  # 48 x 64, all default
    images = {BASELINE: jpegs[0], JPEG_XL: jpegxl, H264: b"\0\0\0\1\x67" + bytes(200)}
    commands = ("pip install simplejpeg", "pip install 'fetal_monai[jpegxl]'", "pip install 'fetal_monai[video]'")
    for (syntax, module), command in zip(needed.items(), commands, strict=True):
        monkeypatch.setitem(sys.modules, module, None)
        path = kit.write(tmp_path / "b.dcm", kit.frames(1), encoded=[images[syntax]], syntax=syntax)
        assert command in refusal(path)


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize(
    ("stray", "words"),
    [
        (b"\xfe\xff\x00\xe0\0\0\0\0", "an item (FFFE,E000)"),
        (b"\xfe\xff\x00\xe0\x04\0\0\0junk", "an item (FFFE,E000)"),
        (b"\xfe\xff\x0d\xe0\0\0\0\0", "the end of an item (FFFE,E00D)"),
        (b"\xfe\xff\xdd\xe0\0\0\0\0", "the end of a sequence (FFFE,E0DD)"),
    ],
)
def test_a_stray_item_before_the_pixels_is_named(kit, tmp_path, jpegs, stray, words, encoded):
    """Such a file used to be taken for a report. dcmtk reads none of these, ITK and pydicom never the same."""
    how = {"encoded": jpegs[:1], "syntax": BASELINE} if encoded else {}
    path = kit.write(tmp_path / "a.dcm", kit.frames(1), **how)
    whole = path.read_bytes()
    at = whole.rindex(b"\xe0\x7f\x10\x00O")
    path.write_bytes(whole[:at] + stray + whole[at:])
    assert f"{words} stands outside of any sequence" in refusal(path)


def test_compressed_syntax_without_fragments_and_the_reverse(kit, tmp_path, jpegs):
    path = kit.write(tmp_path / "a.dcm", kit.frames(1))
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"))
    assert "not in fragments" in refusal(path)
    path = kit.write(tmp_path / "b.dcm", kit.frames(1), encoded=jpegs[:1], syntax=RLE)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0"))
    assert "in fragments, but" in refusal(path)


def test_limits_are_settable(kit, tmp_path):
    path = kit.write(tmp_path / "a.dcm", kit.frames(3))
    assert "frames 3 exceed" in refusal(path, 0, Limits(max_frames=2))
    assert "rows x columns 3072 exceed" in refusal(path, 0, Limits(max_frame_pixels=3000))
    assert "rows x columns x frames 9216" in refusal(path, 0, Limits(max_total_pixels=9000))
    assert "decoded bytes of a frame 9216" in refusal(path, 0, Limits(max_frame_bytes=9000))
    assert "more than 5 elements" in refusal(path, 0, Limits(max_header_elements=5))
    assert read_frame(path, 2, limits=Limits(max_frames=3)).shape == (3, 48, 64)


def test_hostile_sizes_allocate_nothing(kit, tmp_path, jpegs):
    """A deflate bomb, an element and a sequence that claim gigabytes, a fragment longer than the file."""
    still = kit.write(tmp_path / "still.dcm", kit.frames(1)).read_bytes()
    deflated = kit.write(tmp_path / "deflated.dcm", kit.frames(1), syntax="1.2.840.10008.1.2.1.99").read_bytes()
    meta_end = still.index(b"\x08\x00\x16\x00")
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    element = b"\x09\x00\x01\x10UN\0\0" + (3 << 30).to_bytes(4, "little")
    packed = bomb.compress(element) + b"".join(bomb.compress(bytes(1 << 20)) for _ in range(300)) + bomb.flush()
    files = {
        "bomb": deflated[: 144 + int.from_bytes(deflated[140:144], "little")] + packed,
        "element": still.replace(b"\x28\x00\x04\x00CS", b"\x28\x00\x04\x00UN\0\0\xf0\xff\xff\x7f"),
        "nesting": still[:meta_end] + b"\x09\x00\x01\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000,
    }
    clip = kit.write(tmp_path / "clip.dcm", kit.frames(1), encoded=jpegs[:1], syntax=BASELINE).read_bytes()
    at = clip.index(jpegs[0])
    files["fragment"] = clip[: at - 4] + b"\xf0\xff\xff\xff" + clip[at:]
    words = {
        "bomb": "unfolds to more than 67108864",
        "element": "claims 2147483632 bytes",
        "nesting": "nests deeper",
        "fragment": "exceeds the limit",
    }
    tracemalloc.start()
    for name, data in files.items():
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(data)
        assert words[name] in refusal(path, limits=Limits(max_inflated_bytes=1 << 26))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_the_error_reaches_the_user_of_load_imaged_as_it_is(kit, tmp_path):
    path = kit.write(tmp_path / "clip.dcm", kit.frames(3))
    load = LoadImaged("image", reader=UltrasoundReader(), dtype=np.uint8, expanduser=False)
    with pytest.raises(DicomReadError, match=r"clip\.dcm: this is a clip of 3 frames"):
        load({"image": str(path)})
    with pytest.raises(DicomReadError, match=r"clip\.dcm, frame 9: there is no such frame"):
        load({"image": FrameRef(str(path), 9)})


@settings(max_examples=60, deadline=None)
@given(header=st.binary(max_size=600), part10=st.booleans())
def test_random_bytes_are_refused(tmp_path_factory, header, part10):
    path = tmp_path_factory.getbasetemp() / "random.dcm"
    path.write_bytes(bytes(128) + b"DICM" + header if part10 else header)
    with pytest.raises(DicomReadError):
        UltrasoundInstance(path)
