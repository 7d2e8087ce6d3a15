"""PNG and JPEG where they are: what a training reads of them is what it reads of the DICOM made from them."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.data import list_frames, load_datalists
from fetal_monai.data.annotations import read_annotations
from fetal_monai.data.checks import check_data
from fetal_monai.data.file_lookup import FileLookup
from fetal_monai.data.importers import import_dataset
from fetal_monai.dicom import UltrasoundReader, read_frame
from fetal_monai.dicom.picture import PictureInstance
from fetal_monai.errors import DicomReadError, InputError
from made_archives import picture, write_folder, write_zip

CLASSES = ["Femur", "Spine"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve patients, grey PNG, JPEG in colour, one name twice in two folders."""
    files = {}
    for patient in range(12):
        for number, name in enumerate(CLASSES):
            suffix = ".png" if (patient + number) % 2 else ".jpg"
            files[f"{name}/p{patient:02d}_1{suffix}"] = picture(2 * patient + number, suffix, (96, 128))
    colour = np.random.default_rng(5).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    files["Femur/p03_2.jpg"] = cv2.imencode(".jpg", cv2.GaussianBlur(colour, (0, 0), 4))[1].tobytes()
    files["Spine/p03_2.jpg"] = cv2.imencode(".jpg", cv2.GaussianBlur(colour[::-1], (0, 0), 4))[1].tobytes()
    return write_folder(files, tmp_path_factory.mktemp("pictures") / "source")


@pytest.fixture(scope="module")
def both(pictures, tmp_path_factory):
    work = tmp_path_factory.mktemp("imports")
    options = {"patient_pattern": r"(p\d+)_", "test_fraction": 0.3, "val_fraction": 0.2}
    import_dataset("folders", pictures, work / "dicom", **options)
    import_dataset("folders", pictures, work / "place", in_place=True, **options)
    return work / "dicom", work / "place"


def test_the_same_images_in_the_same_order_to_the_pixel(pictures, both):
    as_dicom = load_datalists(both[0] / "annotations.csv", both[0], CLASSES, splits=("train", "val", "test"))
    in_place = load_datalists(both[1] / "annotations.csv", pictures, CLASSES, splits=("train", "val", "test"))
    reader = UltrasoundReader()
    for split, items in as_dicom.items():
        assert len(items) == len(in_place[split]) > 0
        for one, other in zip(items, in_place[split], strict=True):
            assert [one[key] for key in ("label", "class", "frame", "patient_id")] == [
                other[key] for key in ("label", "class", "frame", "patient_id")
            ]
            (a, meta_a), (b, meta_b) = (reader.get_data(reader.read(item["image"])) for item in (one, other))
            np.testing.assert_array_equal(a, b)
            assert meta_a.keys() == meta_b.keys()
            assert meta_a["regions"] == meta_b["regions"]
            assert {key: type(value) for key, value in meta_a.items()} == {
                key: type(value) for key, value in meta_b.items()
            }


def test_nothing_but_lists_is_written_and_the_source_stays(pictures, both):
    assert sorted(path.name for path in both[1].iterdir()) == ["annotations.csv", "classes.yaml", "import.json"]
    table = read_annotations(both[1] / "annotations.csv")
    assert all((pictures / name).is_file() for name in table["file"])
    assert len(set(table["SOPInstanceUID"])) == len(table) == 26  # two pictures of one name are two images


def test_the_isolated_decoder_reads_them_too(pictures):
    path = pictures / "Femur" / "p03_2.jpg"
    pixels, _ = UltrasoundReader(isolated=True).get_data(UltrasoundReader().read(path))
    np.testing.assert_array_equal(pixels, np.moveaxis(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), -1, 0))


def test_other_settings_do_not_go_on_where_an_import_was(pictures, both):
    with pytest.raises(InputError, match="with other settings"):
        import_dataset("folders", pictures, both[0], in_place=True, patient_pattern=r"(p\d+)_", test_fraction=0.3)


def test_a_zip_has_no_place(tmp_path):
    archive = write_zip({"Femur/1.png": picture(1), "Spine/2.png": picture(2)}, tmp_path / "a.zip")
    result = CliRunner().invoke(app, ["import", "folders", str(archive), str(tmp_path / "out"), "--in-place"])
    assert result.exit_code == 1
    assert "unpack it" in result.output
    assert not (tmp_path / "out").exists()


def test_the_command_says_how_to_train(pictures, tmp_path):
    options = ["--in-place", "--patient-pattern", r"(p\d+)_"]
    result = CliRunner().invoke(app, ["import", "folders", str(pictures), str(tmp_path / "out"), *options])
    assert result.exit_code == 0, result.output
    assert f"--dataset_dir {pictures}" in result.output.replace("\n", "")


@pytest.mark.parametrize(
    ("name", "frame", "why"),
    [
        ("../secret.png", "-1", "there is no picture '../secret.png' below"),
        ("Femur/p99.png", "-1", "there is no picture 'Femur/p99.png' below"),
        ("Femur/p03_2.jpg", "2", "frame 2 is out of range: 'Femur/p03_2.jpg' is a picture"),
    ],
)
def test_a_wrong_row_is_named(pictures, tmp_path, name, frame, why):
    (pictures.parent / "secret.png").write_bytes(picture(1))
    table = f"file,split,class,class_int,frame\n{name},train,Femur,0,{frame}\n"
    (tmp_path / "a.csv").write_text(table)
    with pytest.raises(InputError, match="row 2: ") as caught:
        load_datalists(tmp_path / "a.csv", pictures, CLASSES, splits=("train",))
    assert why in str(caught.value)


def test_a_table_may_name_dicom_and_pictures_and_use_the_other_slash(pictures, both, tmp_path):
    uid = read_annotations(both[0] / "annotations.csv").loc[0, "SOPInstanceUID"]
    data = tmp_path / "data"
    data.mkdir()
    (data / "dicom").symlink_to(both[0] / "dicom")
    (data / "pictures").symlink_to(pictures)
    rows = [f"{uid},,train,Femur,0,-1", r",pictures\Femur\p03_2.jpg,train,Femur,0,-1"]
    (tmp_path / "a.csv").write_text("\n".join(["SOPInstanceUID,file,split,class,class_int,frame", *rows]))
    items = load_datalists(tmp_path / "a.csv", data, CLASSES, splits=("train",))["train"]
    assert [item["SOPInstanceUID"] for item in items] == [uid, "pictures/Femur/p03_2.jpg"]
    assert [read_frame(item["image"]).shape[0] for item in items] == [3, 3]


def test_they_can_be_split_again(pictures, both, tmp_path):
    out = tmp_path / "again.csv"
    result = CliRunner().invoke(app, ["split", str(both[1] / "annotations.csv"), "--redraw", "--out", str(out)])
    assert result.exit_code == 0, result.output
    items = load_datalists(out, pictures, CLASSES, splits=("train", "val", "test"))
    assert sum(map(len, items.values())) == 26


def test_the_check_looks_at_them(pictures, both, tmp_path):
    table = pd.read_csv(both[1] / "annotations.csv", dtype=str)
    report = check_data(pictures, both[1] / "annotations.csv", CLASSES, pixels=True)
    assert report.fine, report.findings
    assert report.images == 26
    table.loc[table["file"] == "Femur/p03_2.jpg", "file"] = "Femur/gone.jpg"
    table.to_csv(tmp_path / "a.csv", index=False)
    report = check_data(pictures, tmp_path / "a.csv", CLASSES)
    assert [finding.kind for finding in report.findings if finding.level == "error"] == ["file"]


@given(st.sampled_from([2, 5, 99, -2, -7]))
def test_a_picture_has_one_frame(pictures, frame):
    with PictureInstance(pictures / "Femur" / "p03_2.jpg") as instance:
        assert len(instance) == 1
        np.testing.assert_array_equal(instance.frame(0), instance.frame(-1))
        with pytest.raises(DicomReadError, match="a picture has one"):
            instance.frame(frame)


def test_a_damaged_picture_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(picture(1)[:60])
    with pytest.raises(DicomReadError, match=r"a\.png: the PNG is cut off; download or copy it again"):
        read_frame(tmp_path / "a.png")


def test_names_are_compared_with_what_the_folder_holds(pictures):
    lookup = FileLookup(pictures)
    assert lookup.find("Femur/p03_2.jpg", -1) == str(pictures / "Femur" / "p03_2.jpg")
    assert lookup.find("./Femur//p03_2.jpg", 0) == str(pictures / "Femur" / "p03_2.jpg")
    with pytest.raises(LookupError):
        lookup.find("p03_2.jpg", -1)


def test_a_folder_of_pictures_needs_no_table(pictures):
    items = list_frames(pictures)
    assert len(items) == 26
    assert {item["frame"] for item in items} == {-1}
    assert items[0]["image"].path == items[0]["SOPInstanceUID"]
    report = check_data(pictures, pixels=True)
    assert (report.images, report.fine) == (26, True)


def test_devices_of_pictures_are_those_of_the_table(pictures, both, tmp_path):
    table = pd.read_csv(both[1] / "annotations.csv", dtype=str)
    table["patient_id"] = table["file"]  # many patients, and each class has a machine of its own
    table["device"] = table["class"].map({"Femur": "A", "Spine": "B"})
    table.to_csv(tmp_path / "a.csv", index=False)
    kinds = {finding.kind for finding in check_data(pictures, tmp_path / "a.csv", CLASSES).findings}
    assert "confounding" in kinds
