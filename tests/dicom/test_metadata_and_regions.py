"""What travels with the pixels, and what the regions say."""

import math

import numpy as np
import pytest
from pydicom import Dataset

from fetal_monai.dicom import UltrasoundInstance, UltrasoundReader, regions_from_meta
from fetal_monai.dicom.regions import DataType, Region, SpatialFormat, main_picture, regions_to_text


def item(spatial_format=1, data_type=1, box=(10, 4, 49, 43), units=(3, 3), deltas=(0.02, 0.03), **more):
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = spatial_format, data_type, 2
    region.RegionLocationMinX0, region.RegionLocationMinY0 = box[:2]
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = box[2:]
    region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection = units
    region.PhysicalDeltaX, region.PhysicalDeltaY = deltas
    for keyword, value in more.items():
        setattr(region, keyword, value)
    return region


def metadata(path, frame=-1, **options):
    with UltrasoundInstance(path) as instance:
        return instance.metadata(frame, **options)


def test_the_spacing_of_the_main_picture_is_in_the_affine(kit, tmp_path):
    small, large = item(box=(0, 0, 5, 5), deltas=(9, 9)), item(deltas=(-0.02, 0.03))
    regions = [small, large, item(2, 1, (0, 0, 60, 40), (4, 3))]
    path = kit.write(tmp_path / "a.dcm", kit.frames(1), elements={"SequenceOfUltrasoundRegions": regions})
    meta = metadata(path)
    np.testing.assert_allclose(meta["affine"], np.diag([0.3, 0.2, 1]))
    assert meta["spacing_known"] == 1
    assert [region.kind for region in regions_from_meta(meta)] == ["tissue", "tissue", "m-mode"]
    assert regions_from_meta(meta)[1].width == 40


def test_pixel_spacing_serves_where_no_region_does(kit, tmp_path):
    path = kit.write(tmp_path / "a.dcm", kit.frames(1), elements={"PixelSpacing": [0.4, 0.5]})
    np.testing.assert_allclose(metadata(path)["affine"], np.diag([0.4, 0.5, 1]))
    bare = metadata(kit.write(tmp_path / "b.dcm", kit.frames(1)))
    np.testing.assert_allclose(bare["affine"], np.eye(3))
    assert bare["spacing_known"] == 0


@pytest.mark.parametrize(
    ("spatial_format", "data_type", "units", "kind"),
    [
        (1, 1, (3, 3), "tissue"),
        (1, 2, (3, 3), "colour"),
        (1, 1, (0, 0), "3d"),
        (2, 1, (4, 3), "m-mode"),
        (3, 3, (4, 7), "doppler"),
        (3, 4, (4, 7), "doppler"),
        (4, 10, (4, 0), "trace"),
        (1, 13, (0, 0), "strip"),
        (0, 14, (0, 0), "strip"),
        (5, 0, (0, 0), "graphics"),
        (1, 99, (3, 3), "other"),
        (77, 1, (3, 3), "other"),
    ],
)
def test_kinds_of_region_are_told_apart(kit, tmp_path, spatial_format, data_type, units, kind):
    elements = {"SequenceOfUltrasoundRegions": [item(spatial_format, data_type, units=units)]}
    path = kit.write(tmp_path / "a.dcm", kit.frames(1), elements=elements)
    (region,) = regions_from_meta(metadata(path))
    assert region.kind == kind
    assert region.is_picture == (kind in {"tissue", "colour", "3d"})


def test_broken_regions_are_left_out(kit, tmp_path):
    turned, cornerless = item(box=(50, 4, 10, 43)), item()
    del cornerless.RegionLocationMaxX1
    elements = {"SequenceOfUltrasoundRegions": [turned, cornerless, item()]}
    path = kit.write(tmp_path / "a.dcm", kit.frames(1), elements=elements)
    assert len(regions_from_meta(metadata(path))) == 1


def test_the_largest_picture_is_the_main_one():
    small = Region(SpatialFormat.TWO_D, DataType.TISSUE, 0, 0, 9, 9)
    large = Region(SpatialFormat.TWO_D, DataType.COLOUR_FLOW, 0, 0, 19, 9)
    strip = Region(SpatialFormat.NONE, DataType.GREY_BAR, 0, 0, 99, 99)
    assert main_picture([small, large, strip]) is large
    assert main_picture([strip]) is None
    assert regions_from_meta({"regions": regions_to_text([small, strip])}) == (small, strip)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"FrameTime": 40}, 40),
        ({"FrameTime": None, "CineRate": 20}, 50),
        ({"FrameTime": None, "FrameTimeVector": [0, 10, 20, 30]}, 20),
        ({"FrameTime": None}, math.nan),
        ({"FrameTime": 0}, math.nan),
    ],
)
def test_the_time_between_frames(kit, tmp_path, elements, expected):
    path = kit.write(tmp_path / "a.dcm", kit.frames(4), elements=elements)
    np.testing.assert_equal(metadata(path, 2)["frame_time_ms"], expected)


def test_nothing_identifies_the_patient_unless_asked(kit, tmp_path):
    elements = {"PatientBirthDate": "19900101", "AccessionNumber": "A77", "InstitutionName": "Clinic"}
    path = kit.write(tmp_path / "a.dcm", kit.frames(1), elements=elements)
    silent, frank = metadata(path), metadata(path, identifiers=True)
    for secret in ("secret-7", "Doe", "19900101", "A77", "Clinic"):
        assert secret not in repr(silent)
    assert frank["PatientID"] == "secret-7"
    assert frank["PatientName"] == "Doe^Jane"
    assert silent["patient"] == metadata(kit.write(tmp_path / "b.dcm", kit.frames(1)))["patient"]
    other = kit.write(tmp_path / "c.dcm", kit.frames(1), elements={"PatientID": "secret-8"})
    assert silent["patient"] != metadata(other)["patient"]
    _, asked = UltrasoundReader(identifiers=True).get_data(UltrasoundReader().read(path))
    assert asked["PatientID"] == "secret-7"


def test_every_file_has_the_same_keys_and_kinds_of_value(kit, tmp_path):
    rich = metadata(kit.real("examples_palette.dcm"))
    poor = metadata(kit.write(tmp_path / "a.dcm", kit.frames(1),
                              elements={"PatientID": None, "Manufacturer": None, "Modality": None}))  # fmt: skip
    assert {key: type(value) for key, value in rich.items()} == {key: type(value) for key, value in poor.items()}
    assert (poor["patient"], poor["Manufacturer"], poor["original_channel_dim"]) == ("", "", 0)
