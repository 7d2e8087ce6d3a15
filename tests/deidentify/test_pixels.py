"""Pixels of every kind of file, judged by pydicom's decoders: the region identical, nothing left beside it."""

import cv2
import numpy as np
import pydicom
import pytest
import simplejpeg
from pydicom.pixels import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from fetal_monai.deidentify import kept_pixels
from fetal_monai.deidentify.instance_writer import write_deidentified
from fetal_monai.deidentify.jpeg_worker import JpegWorker
from fetal_monai.deidentify.pseudonyms import Pseudonyms
from fetal_monai.dicom.regions import Region
from fetal_monai.transforms.banner import REFERENCE_FRACTION


@pytest.fixture(scope="module")
def worker():
    with JpegWorker() as one:
        yield one


@pytest.fixture
def clean(tmp_path, worker):
    def run(source, **options):
        return write_deidentified(str(source), tmp_path / "out", Pseudonyms(), worker, **options)

    return run


def both(kit, source, written):
    """All frames before and after, as pydicom decodes them, and which pixels of them are in the region."""
    before, after = pixel_array(source), pixel_array(written.path)
    mask = np.zeros(before.shape[1:3], bool)
    mask[kit.box] = True
    return before, after, mask


def colour(frames):
    return frames


def grey(frames):
    return np.ascontiguousarray(frames[..., 0])


def deep(frames):
    return frames[..., 0].astype(np.uint16) * 16


@pytest.mark.parametrize("kind", [colour, grey, deep])
@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
    ids=lambda syntax: syntax.name,
)
def test_all_syntaxes_keep_the_region_and_lose_the_rest(kit, tmp_path, clean, syntax, kind):
    frames = kind(kit.screens(3))
    data = kit.dataset(frames, **({"BitsStored": 12, "HighBit": 11} if kind is deep else {}))
    if syntax.is_compressed and not syntax.is_deflated:
        data.compress(syntax, generate_instance_uid=False)
    else:
        data.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian and kind is deep:
            data.PixelData = frames.astype(">u2").tobytes()
    written = clean(kit.save(data, tmp_path / "a.dcm"))
    native = not syntax.is_encapsulated
    assert written.syntax == (ExplicitVRLittleEndian if native else JPEGLSLossless).name
    after = pixel_array(written.path)
    assert np.array_equal(after[(slice(None), *kit.box)], frames[(slice(None), *kit.box)])
    after[(slice(None), *kit.box)] = 0
    assert not after.any()


@pytest.mark.parametrize(
    ("photometric", "signed", "black"), [("MONOCHROME1", 0, 255), ("MONOCHROME2", 1, -128), ("PALETTE COLOR", 0, 0)]
)
def test_blank_is_black_in_every_meaning_of_grey(kit, tmp_path, clean, photometric, signed, black):
    frames = grey(kit.screens(2))
    elements = {"PhotometricInterpretation": photometric, "PixelRepresentation": signed}
    written = clean(kit.save(kit.dataset(frames, **elements), tmp_path / "a.dcm"))
    after = pixel_array(written.path)
    assert np.array_equal(after[(slice(None), *kit.box)], frames.view(after.dtype)[(slice(None), *kit.box)])
    after[(slice(None), *kit.box)] = black
    assert (after == black).all()


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_native_chroma_keeps_its_values(kit, tmp_path, clean, photometric):
    frames = kit.screens(2)
    data = kit.dataset(frames, PhotometricInterpretation=photometric)
    if photometric == "YBR_FULL_422":
        pairs = frames.reshape(*frames.shape[:2], -1, 2, 3)
        quads = np.stack([pairs[..., 0, 0], pairs[..., 1, 0], pairs[..., 0, 1], pairs[..., 0, 2]], axis=-1)
        data.PixelData = quads.tobytes()
    written = clean(kit.save(data, tmp_path / "a.dcm"))
    before, after, mask = both(kit, tmp_path / "a.dcm", written)
    assert np.array_equal(before[:, mask], after[:, mask])
    assert not after[:, ~mask].any()


@pytest.mark.parametrize("sampling", ["444", "422", "420"])
@pytest.mark.parametrize("aligned", [True, False])
def test_jpeg_stays_jpeg_where_nothing_is_beside_the_region(kit, tmp_path, clean, sampling, aligned):
    frames = kit.screens(2)
    calm = frames[:, kit.box[0], kit.box[1]]
    calm[:, :16] = calm[:, -16:] = calm[:, :, :16] = calm[:, :, -16:] = 60  # no picture in the blocks at the border
    jpegs = [simplejpeg.encode_jpeg(frame, 95, colorsubsampling=sampling) for frame in frames]
    shift = 0 if aligned else 3  # the region ends within blocks, and those show a plain strip beside it
    rows, columns = (slice(one.start + shift, one.stop - shift) for one in kit.box)
    written = clean(kit.save(kit.dataset(frames, jpegs=jpegs, regions=[kit.region(rows, columns)]), tmp_path / "a.dcm"))
    before, after = pixel_array(tmp_path / "a.dcm"), pixel_array(written.path)
    assert np.array_equal(before[:, rows, columns], after[:, rows, columns])
    far = np.ones(before.shape[1:3], bool)
    far[kit.box[0].start - 16 : kit.box[0].stop + 16, kit.box[1].start - 16 : kit.box[1].stop + 16] = False
    assert not after[:, far].any()
    assert written.syntax == JPEGBaseline8Bit.name
    assert written.path.stat().st_size < (tmp_path / "a.dcm").stat().st_size + 500


def test_text_in_a_block_of_the_region_is_blanked_by_recompressing_without_loss(kit, tmp_path, clean):
    rows, columns = slice(44, 100), slice(52, 140)  # blocks begin at 40 and 48
    frames = kit.screens(3)
    frames[:, :44] = 0
    cv2.putText(frames[1], "DOE", (60, 44), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)  # in one frame alone
    jpegs = [simplejpeg.encode_jpeg(frame, 95, colorsubsampling="422") for frame in frames]
    written = clean(kit.save(kit.dataset(frames, jpegs=jpegs, regions=[kit.region(rows, columns)]), tmp_path / "a.dcm"))
    assert written.syntax == JPEGLSLossless.name
    after = pixel_array(written.path)
    truth = np.stack([simplejpeg.decode_jpeg(code) for code in jpegs])
    assert np.array_equal(after[:, rows, columns], truth[:, rows, columns])
    after[:, rows, columns] = 0
    assert not after.any()
    header = pydicom.dcmread(written.path, stop_before_pixels=True)
    assert (header.PhotometricInterpretation, header.LossyImageCompression) == ("RGB", "01")
    assert header.LossyImageCompressionMethod == "ISO_10918_1"


def test_what_jpeg_ls_cannot_hold_is_uncompressed(kit, tmp_path, clean):
    frames = np.random.default_rng(0).integers(0, 256, (2, 5, 7), np.uint8)
    data = kit.dataset(frames, regions=[])
    data.compress(RLELossless, generate_instance_uid=False)
    written = clean(kit.save(data, tmp_path / "a.dcm"), banner=0)
    assert written.syntax == ExplicitVRLittleEndian.name
    assert np.array_equal(pixel_array(written.path), frames)


def test_without_regions_the_banner_goes_and_nothing_is_promised(kit, tmp_path, clean):
    frames = kit.screens(2)
    written = clean(kit.save(kit.dataset(frames, regions=[]), tmp_path / "a.dcm"), banner=0.25)
    after = pixel_array(written.path)
    assert not written.declared
    assert not after[:, :30].any()
    assert np.array_equal(after[:, 30:], frames[:, 30:])
    header = pydicom.dcmread(written.path, stop_before_pixels=True)
    assert header.PatientIdentityRemoved == "NO"
    assert "BurnedInAnnotation" not in header


def test_regions_that_cover_the_screen_or_are_drawn_tell_nothing():
    screen = Region(1, 1, left=0, top=0, right=99, bottom=99)
    drawn = Region(5, 1, left=0, top=50, right=99, bottom=99)
    picture = Region(1, 1, left=10, top=20, right=89, bottom=89)
    assert not kept_pixels.kept_pixels([screen], 100, 100).declared
    assert not kept_pixels.kept_pixels([drawn], 100, 100).declared
    kept = kept_pixels.kept_pixels([picture, drawn], 100, 100)
    assert (kept.declared, int(kept.mask.sum())) == (False, 80 * 70), "nobody knows which of them shows"
    same = kept_pixels.kept_pixels([picture, Region(5, 1, left=10, top=20, right=89, bottom=89)], 100, 100)
    assert (same.declared, int(same.mask.sum())) == (False, 80 * 70)
    top = Region(5, 1, left=0, top=0, right=99, bottom=9)
    assert not kept_pixels.kept_pixels([screen, top], 100, 100).declared, "the screen is more than a picture"
    halves = [Region(5, 1, left=10, top=top, right=89, bottom=top + 34) for top in (20, 55)]
    covered = kept_pixels.kept_pixels([picture, *halves], 100, 100)
    assert (covered.declared, int(covered.mask.sum())) == (False, 80 * 70)
    assert kept_pixels.BANNER_FRACTION == REFERENCE_FRACTION


@pytest.mark.parametrize("graphics_first", [False, True])
@pytest.mark.parametrize("jpeg", [False, True])
def test_graphics_within_a_picture_are_blanked(kit, tmp_path, clean, graphics_first, jpeg):
    frames = kit.screens(2)
    drawn = slice(56, 72), slice(80, 112)
    frames[(slice(None), *drawn)] = 255  # a body mark, say, with a name under it
    jpegs = [simplejpeg.encode_jpeg(frame, 90, "RGB", "444") for frame in frames] if jpeg else None
    regions = [kit.region(), kit.region(*drawn, RegionSpatialFormat=5)]
    data = kit.dataset(frames, jpegs=jpegs, regions=regions[::-1] if graphics_first else regions)
    written = clean(kit.save(data, tmp_path / "a.dcm"))
    before, after, region = both(kit, tmp_path / "a.dcm", written)
    region[drawn] = False
    assert written.declared
    assert np.array_equal(after[:, region], before[:, region])
    assert after[:, ~region].max() < 20, "black, as YBR has it"


def test_a_region_with_the_banner_in_it_does_not_tell_where_the_text_is(kit, tmp_path, clean):
    frames = kit.screens(1)
    rows = frames.shape[1]
    region = kit.region(slice(4, rows - 20))
    data = kit.dataset(frames, regions=[region], BurnedInAnnotation="YES")
    written = clean(kit.save(data, tmp_path / "a.dcm"), banner=0.25)
    header, after = pydicom.dcmread(written.path, stop_before_pixels=True), pixel_array(written.path)
    assert not written.declared
    assert (header.BurnedInAnnotation, header.PatientIdentityRemoved) == ("YES", "NO")
    kept = slice(round(0.25 * rows), rows - 20)
    columns = slice(region.RegionLocationMinX0, region.RegionLocationMaxX1 + 1)
    assert np.array_equal(after[kept, columns], frames[0, kept, columns])
    after[kept, columns] = 0
    assert not after.any()
    assert clean(kit.save(data, tmp_path / "b.dcm"), banner=0).declared  # whoever knows that there is no banner
