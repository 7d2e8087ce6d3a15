"""An export in which each study counts its images anew: a row gets the file that it names, or none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.data import load_datalists
from fetal_monai.data.consensus import read_votes
from fetal_monai.data.dicom_patients import fill_patients
from fetal_monai.data.file_facts import read_file_facts
from fetal_monai.data.file_lookup import FileLookup
from fetal_monai.errors import InputError

STUDIES, IMAGES = 3, 2
FILES = [f"study{study}/IM_{image:04}.dcm" for study in range(STUDIES) for image in range(IMAGES)]


def make_export(phantom: Path, folder: Path) -> Path:
    """Each study that of another patient."""
    stills = pd.read_csv(phantom / "annotations.csv", dtype=str).query("frame == '-1'")
    stills = stills.groupby("patient_id").head(IMAGES)["SOPInstanceUID"]
    for name, uid in zip(FILES, stills, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(phantom / "dicom" / f"{uid}.dcm", folder / name)
    return folder


@pytest.fixture(scope="module")
def shared(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests that change nothing."""
    return make_export(phantom, tmp_path_factory.mktemp("names") / "data" / "export")


@pytest.fixture
def export(phantom: Path, tmp_path: Path) -> Path:
    return make_export(phantom, tmp_path / "data" / "export")


def uid_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def change(path: Path, **elements: str) -> None:
    data = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.save_as(path)


def load(folder: Path, names: list[str], table: Path) -> list[dict]:
    rows = [f"{name},train,Femur,0,-1,P{number}" for number, name in enumerate(names)]
    table.write_text("\n".join(["SOPInstanceUID,split,class,class_int,frame,patient_id", *rows]))
    return load_datalists(table, folder, ["Femur"], splits=())["train"]


@pytest.mark.parametrize("before", ["", "./", "export/", "data/export/"])
@pytest.mark.parametrize("above", [0, 1, 2])
def test_each_row_gets_the_file_at_its_path_from_wherever_paths_begin(shared, tmp_path, before, above):
    folder = [shared, *shared.parents][above]
    for names in (FILES, [name.removesuffix(".dcm") for name in FILES]):
        items = load(folder, [before + name for name in names], tmp_path / "a.csv")
        assert [item["image"].path for item in items] == [str(shared / name) for name in FILES]
        assert len({item["SOPInstanceUID"] for item in items}) == len(FILES)


def test_a_name_that_several_files_have_is_refused_with_some_of_them(shared, tmp_path):
    with pytest.raises(InputError) as caught:
        load(shared, ["IM_0001.dcm", "study1/IM_0001.dcm", "IM_0000"], tmp_path / "a.csv")
    assert caught.value.problems == [
        f"row {row}: several files below {shared} are named '{name}' (study0/{file}, study1/{file}, study2/{file}); "
        "give the path below the folder, or the SOPInstanceUID"
        for row, name, file in [(2, "IM_0001.dcm", "IM_0001.dcm"), (4, "IM_0000", "IM_0000.dcm")]
    ]


def test_the_last_parts_of_two_paths_are_refused_unless_one_is_the_path_below_the_folder(export):
    shutil.copytree(export / "study1", export / "old" / "study1")
    for name in ("IM_0000.dcm", "IM_0001.dcm"):
        change(export / "old" / "study1" / name, SOPInstanceUID=f"1.2.3{name[6]}")
    assert FileLookup(export).file("study1/IM_0000.dcm") == str(export / "study1" / "IM_0000.dcm")
    with pytest.raises(
        LookupError, match=r"'study1/IM_0000' \(export/study1/IM_0000.dcm, export/old/study1/IM_0000.dcm"
    ):
        FileLookup(export.parent).file("study1/IM_0000")


def test_a_file_at_the_top_can_be_named_beside_others_of_its_name(export):
    shutil.move(export / FILES[0], export / "IM_0000.dcm")
    lookup = FileLookup(export)
    with pytest.raises(LookupError, match=r"\(\./IM_0000.dcm, study1/IM_0000.dcm, study2/IM_0000.dcm\)"):
        lookup.file("IM_0000")
    assert lookup.file("./IM_0000") == str(export / "IM_0000.dcm")


@pytest.mark.parametrize("name", ["study3/IM_0000.dcm", "study0/study1/IM_0000", "../study1/IM_0000", "study1/IM_0009"])
def test_a_path_where_nothing_is_gets_no_other_file(shared, name):
    with pytest.raises(LookupError, match=f"no file is named '{name}' or has that SOPInstanceUID below"):
        FileLookup(shared).file(name)


def test_a_missing_file_is_told_with_others_of_its_name(shared):
    with pytest.raises(LookupError, match=r"add it, or correct its path \(study0/IM_0000.dcm, study1/IM_0000.dcm, "):
        FileLookup(shared).file("study3/IM_0000")


def test_a_damaged_file_is_not_replaced_by_one_of_its_name(export):
    (export / FILES[0]).write_bytes(b"")
    shutil.copytree(export, export / "old")
    change(export / "old" / FILES[2], SOPInstanceUID="1.2.3")
    for name in (FILES[0], f"export/{FILES[0]}"):
        with pytest.raises(LookupError, match=r"cannot be read .* copy it again"):
            FileLookup(export).file(name)


def test_a_uid_finds_its_file_wherever_the_table_says_that_it_lies(shared):
    lookup = FileLookup(shared)
    for name in FILES:
        uid = uid_of(shared / name)
        for written in (uid, f"{uid}.dcm", f"dicom/{uid}.dcm"):
            assert lookup.file(written) == str(shared / name)


def test_a_copy_stands_for_its_image_and_another_image_with_its_uid_does_not(export):
    shutil.copytree(export / "study0", export / "study0_copy")
    shutil.copy(export / FILES[2], export / "study2" / "IM_0007.dcm")
    change(export / "study2" / "IM_0007.dcm", PatientID="SOMEBODY ELSE'S")
    lookup = FileLookup(export)
    assert lookup.file("study0_copy/IM_0001") == lookup.file(FILES[1]) == str(export / FILES[1])
    passed_over = FILES[2] if lookup.index.duplicates[-1].endswith(FILES[2]) else "study2/IM_0007.dcm"
    with pytest.raises(LookupError, match="its SOPInstanceUID is that of another image"):
        lookup.file(passed_over)


@given(st.lists(st.sampled_from(FILES), unique=True, min_size=1))
def test_each_row_gets_the_patient_of_its_file(shared, names):
    table = pd.DataFrame({"SOPInstanceUID": names})
    expected = [read_file_facts(shared / name).patient for name in names]
    assert fill_patients(table, shared)["patient_id"].tolist() == expected
    assert len(set(expected)) == len({name.split("/")[0] for name in names})


def test_patients_are_not_guessed_from_a_name_that_several_files_have(shared):
    with pytest.raises(InputError, match="row 4: several files below"):
        fill_patients(pd.DataFrame({"SOPInstanceUID": ["IM_0000.dcm"]}, index=[4]), shared)


def test_experts_vote_for_images_of_one_name_in_two_folders(tmp_path):
    for name, labels in (("ann", ("Femur", "Other")), ("bob", ("Femur", "Femur"))):
        rows = [f"{file},{label}" for file, label in zip(FILES[::2], labels, strict=False)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["SOPInstanceUID,class", *rows]))
    votes = read_votes([tmp_path / "ann.csv", tmp_path / "bob.csv"])
    assert votes.images["SOPInstanceUID"].tolist() == ["study0/IM_0000", "study1/IM_0000"]
    assert votes.table["label"].tolist() == [0, 0, 1, 0]


def test_a_name_that_only_copies_of_one_image_have_is_found(export, tmp_path):
    (export / "backup").mkdir()
    shutil.copy(export / FILES[0], export / "backup/alone.dcm")
    shutil.copy(export / FILES[0], export / "alone.dcm")
    (item,) = load(export, ["alone.dcm"], tmp_path / "labels.csv")
    assert uid_of(Path(item["image"].path)) == uid_of(export / FILES[0])
    change(export / "backup/alone.dcm", SOPInstanceUID="1.2.3")
    with pytest.raises(InputError, match=r"several files .* are named 'alone\.dcm'"):
        load(export, ["alone.dcm"], tmp_path / "labels.csv")
