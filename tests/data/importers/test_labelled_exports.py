"""Folders, COCO and CVAT: the same pictures and labels give the same plan, however they are told."""

from __future__ import annotations

import json

import pytest

from fetal_monai.data.importers import KINDS
from fetal_monai.data.importers.source import open_source
from fetal_monai.errors import InputError
from made_archives import picture, write_folder, write_zip

NAMES = {"p1_a.png": "Femur", "p1_b.png": "Spine", "p2_a.png": "Femur", "p3_a.png": "Abdomen"}


def plan_of(kind, path, pattern=None):
    with open_source(path) as source:
        return KINDS[kind](source, pattern)


def pictures(folder="images/"):
    return {f"{folder}{name}": picture(number) for number, name in enumerate(NAMES)}


def coco(names=NAMES, **changes):
    categories = {name: number for number, name in enumerate(["Femur", "Abdomen", "Spine"], 1)}
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [
            {"id": number, "image_id": number, "category_id": categories[label]}
            for number, label in enumerate(names.values())
        ],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }
    return json.dumps({**content, **changes}).encode()


def cvat(names=NAMES, subset=""):
    labels = "".join(f"<label><name>{name}</name></label>" for name in ("Femur", "Abdomen", "Spine"))
    images = "".join(
        f'<image id="{number}" name="{name}" {subset} width="32" height="24">'
        + "".join(f'<tag label="{label}" source="manual"></tag>' for label in labels_of.split("+") if label)
        + "</image>"
        for number, (name, labels_of) in enumerate(names.items())
    )
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><job><labels>'
    return f"{head}{labels}</labels></job></meta>{images}</annotations>".encode()


EXPORTS = {
    "folders": {f"{label}/{name}": picture(number) for number, (name, label) in enumerate(NAMES.items())},
    "coco": {"annotations/labels.json": coco(), "other.json": b"[1]", **pictures()},
    "cvat": {"annotations.xml": cvat(), **pictures()},
}


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("around", [None, "", "around/"])
def test_labels_patients_and_classes(tmp_path, kind, around):
    files = EXPORTS[kind]
    path = write_folder(files, tmp_path / "a") if around is None else write_zip(files, tmp_path / "a.zip", around)
    plan = plan_of(kind, path, r"(p\d)_")
    expected = ("Abdomen", "Femur", "Spine") if kind == "folders" else ("Femur", "Abdomen", "Spine")
    assert plan.class_names == expected
    found = {item.title.rpartition("/")[2]: (item.label, item.patient, item.split) for item in plan.items}
    assert found == {name: (label, name[:2], "") for name, label in NAMES.items()}
    assert plan.missing == plan.notes == ()


@pytest.mark.parametrize("kind", EXPORTS)
def test_without_a_pattern_each_picture_is_a_patient_and_that_is_said(tmp_path, kind):
    plan = plan_of(kind, write_folder(EXPORTS[kind], tmp_path))
    assert len({item.patient for item in plan.items}) == len(NAMES)
    assert "--patient-pattern" in plan.notes[0]


@pytest.mark.parametrize(
    ("pattern", "why"), [("(", "no regular expression"), (r"p\d", "has no group"), (r"(p[12])_", "p3_a.png: has no")]
)
def test_a_pattern_that_does_not_fit_is_refused(tmp_path, pattern, why):
    with pytest.raises(InputError, match=why):
        plan_of("coco", write_folder(EXPORTS["coco"], tmp_path), pattern)


SPLIT = {
    "folders": {"Train/Femur/a.png": picture(1), "validation/Femur/b.png": picture(2)},
    "coco": {"a_train.json": coco({"a.png": "Femur"}), "b_val.json": coco({"b.png": "Femur"})},
    "cvat": {
        "1.xml": cvat({"a.png": "Femur"}, 'subset="Train"'),
        "2.xml": cvat({"b.png": "Femur"}, 'subset="Validation"'),
    },
}


@pytest.mark.parametrize("kind", SPLIT)
def test_splits_that_the_source_has(tmp_path, kind):
    more = {} if kind == "folders" else {"a.png": picture(1), "b.png": picture(2)}
    plan = plan_of(kind, write_folder({**SPLIT[kind], **more}, tmp_path))
    assert {item.title[-5:]: item.split for item in plan.items} == {"a.png": "train", "b.png": "val"}


@pytest.mark.parametrize("export", ["coco", "cvat"])
@pytest.mark.parametrize(
    ("names", "why"),
    [
        ({"../p1_a.png": "Femur"}, "leads out of the data set"),
        ({"/etc/p1_a.png": "Femur"}, "leads out of the data set"),
        ({"nothing.png": "Femur"}, "none of the images"),
        ({"same.png": "Femur"}, "may be any of a/same.png, b/same.png"),
    ],
)
def test_a_name_that_means_no_picture_is_refused(tmp_path, export, names, why):
    table = {"coco": ("labels.json", coco), "cvat": ("labels.xml", cvat)}[export]
    files = {table[0]: table[1](names), "a/same.png": picture(1), "b/same.png": picture(2), **pictures()}
    with pytest.raises(InputError, match=why):
        plan_of(export, write_folder(files, tmp_path))


def test_what_is_missing_unlabelled_or_unnamed_is_told(tmp_path):
    names = {"p1_a.png": "Femur", "gone.png": "Spine", "p1_b.png": ""}
    plan = plan_of("cvat", write_folder({"a.xml": cvat(names), **pictures()}, tmp_path))
    assert [item.title for item in plan.items] == ["p1_a.png"]
    assert [name for name, _ in plan.missing] == ["gone.png"]
    assert dict(plan.left_out)["p1_b.png"] == "it has no label"
    assert dict(plan.left_out)["images/p2_a.png"] == "the export does not name it"
    assert plan.class_names == ("Femur",)
    assert any("no image is of Abdomen, Spine" in note for note in plan.notes)


def test_two_labels_for_one_image_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"more than one label \(Femur, Spine\)"):
        plan_of("cvat", write_folder({"a.xml": cvat({"p1_a.png": "Femur+Spine"}), **pictures()}, tmp_path))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"{}", "there is no COCO file"),
        (coco(images="x"), "images is no list"),
        (coco(images=[{"id": 1}]), "an entry of images has no file_name"),
        (coco(images=[{"id": 1, "file_name": "p1_a.png"}] * 2), "the same id"),
        (coco(annotations=[{"image_id": 77, "category_id": 1}]), "image 77, which is not in it"),
        (coco(annotations=[{"image_id": 0, "category_id": 9}]), "category 9, which is not in it"),
    ],
)
def test_a_damaged_coco_file_is_refused(tmp_path, content, why):
    with pytest.raises(InputError, match=why):
        plan_of("coco", write_folder({"labels.json": content, **pictures()}, tmp_path))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<annotations>", "is no XML"),
        (b"<html/>", "there is no XML of CVAT"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "defines entities"),
        ('<?xml version="1.0" encoding="utf-16"?><annotations/>'.encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_damaged_or_hostile_cvat_file_is_refused(tmp_path, content, why):
    with pytest.raises(InputError, match=why):
        plan_of("cvat", write_folder({"labels.xml": content, **pictures()}, tmp_path))


@pytest.mark.parametrize(
    ("names", "why"), [(["a.txt"], "no PNG or JPEG"), (["a.png", "Femur/b.png"], "a.png: lies in no folder of a class")]
)
def test_a_tree_without_classes_is_refused(tmp_path, names, why):
    with pytest.raises(InputError, match=why):
        plan_of("folders", write_folder(dict.fromkeys(names, b""), tmp_path))


def test_one_folder_is_one_class_and_other_files_are_told(tmp_path):
    plan = plan_of("folders", write_folder({"around/Femur/a.png": b"", "around/Femur/notes.txt": b""}, tmp_path))
    assert [(item.title, item.label) for item in plan.items] == [("Femur/a.png", "Femur")]
    assert plan.left_out == (("around/Femur/notes.txt", "neither PNG nor JPEG"),)


@pytest.mark.parametrize("folder", ["training_set/", "HC18/training_set/", ""])
def test_hc18(tmp_path, folder):
    names = ["000_HC.png", "000_HC_Annotation.png", "000_2HC.png", "000_2HC_Annotation.png", "001_HC.png"]
    files = {f"{folder}{name}": picture(number) for number, name in enumerate(names)}
    files |= {"test_set/000_HC.png": picture(9), "training_set_pixel_size_and_HC.csv": b""}
    plan = plan_of("hc18", write_zip(files, tmp_path / "a.zip"))
    assert [(item.title, item.patient, item.label) for item in plan.items] == [
        ("000_2HC.png", "000", "Head"),
        ("000_HC.png", "000", "Head"),
        ("001_HC.png", "001", "Head"),
    ]
    assert len(plan.left_out) == 3
    with pytest.raises(InputError, match="leave it out"):
        plan_of("hc18", tmp_path / "a.zip", "(.*)_")


def test_another_archive_is_no_hc18(tmp_path):
    with pytest.raises(InputError, match="there is no training_set"):
        plan_of("hc18", write_folder(EXPORTS["folders"], tmp_path / "a"))
    twice = {"a/000_HC.png": picture(1), "b/000_HC.png": picture(2)}
    with pytest.raises(InputError, match=r"000_HC\.png is there twice"):
        plan_of("hc18", write_folder(twice, tmp_path / "b"))
