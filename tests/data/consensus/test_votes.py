"""The experts' tables, as spreadsheets leave them."""

import pytest

from fetal_monai.data.consensus import read_votes
from fetal_monai.errors import InputError

HEADER = "SOPInstanceUID,split,class,class_int,frame,patient_id\n"


def write(folder, name, text, header=HEADER):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(header + text)
    return path


@pytest.fixture
def ann(tmp_path):
    return write(tmp_path, "ann.csv", "1.2.1,train,Femur,0,-1,A\n1.2.2,val,Other,4,3,B\n1.2.3,val,,,-1,B\n")


def test_a_table_for_each_expert_in_any_dialect(ann, tmp_path):
    bob = tmp_path / "bob.csv"
    text = "class;SOPInstanceUID;frame;split;device;class_int;p:Femur\r\n"
    text += " Other ;1.2.2.dcm;3;val;Küvette;4;0,5\r\nFemur;1.2.1;0;;;0;\r\n"
    bob.write_bytes(text.encode("utf-16"))
    votes = read_votes([ann, bob])
    assert votes.experts == ["ann", "bob"]
    assert votes.class_numbers == {"Femur": 0, "Other": 4}
    assert votes.images.to_dict("list") == {
        "SOPInstanceUID": ["1.2.1", "1.2.2"],
        "frame": ["-1", "3"],
        "split": ["train", "val"],
        "patient_id": ["A", "B"],
        "device": ["", "Küvette"],
    }
    assert votes.table.values.tolist() == [[0, "ann", 0], [0, "bob", 0], [1, "ann", 1], [1, "bob", 1]]
    assert votes.notes == ("rows without a class are passed over: 1",)


def test_one_long_table_is_the_same(ann, tmp_path):
    bob = write(tmp_path, "bob.csv", "1.2.1,train,Other,4,-1,A\n1.2.2,val,Other,4,3,B\n")
    long = "1.2.2,bob,Other,4,3\n1.2.1,bob,Other,4,-1\n1.2.1,ann,Femur,0,-1\n1.2.2,ann,Other,4,3\n"
    long = write(tmp_path, "long.csv", long, "SOPInstanceUID,expert,class,class_int,frame\n")
    assert read_votes([long]).table.equals(read_votes([ann, bob]).table)
    assert read_votes([long], ["x", "Femur", "Other"]).class_numbers == {"x": 0, "Femur": 1, "Other": 2}


def test_experts_of_files_with_one_name_are_told_by_their_folders(ann, tmp_path):
    for who in ("cleo", "dan"):
        write(tmp_path, f"{who}/annotations.csv", "1.2.1,train,Femur,0,-1,A\n")
    found = read_votes([tmp_path / "cleo/annotations.csv", tmp_path / "dan/annotations.csv"])
    assert found.experts == ["cleo", "dan"]


def test_what_the_tables_contradict_each_other_in_is_left_empty(ann, tmp_path):
    bob = write(tmp_path, "bob.csv", "1.2.1,test,Femur,0,-1,A\n1.2.2,val,Other,4,3,B\n")
    votes = read_votes([ann, bob])
    assert votes.images["split"].tolist() == ["", "val"]
    assert "the tables contradict each other in 'split' of 1 image, such as 1.2.1: it is left empty" in votes.notes


def test_without_numbers_classes_are_numbered_by_name(tmp_path):
    files = [write(tmp_path, f"{who}.csv", "1.2,Spine\n1.3,Femur\n", "SOPInstanceUID,class\n") for who in "ab"]
    votes = read_votes(files)
    assert votes.class_numbers == {"Femur": 0, "Spine": 1}
    assert "--config" in votes.notes[0]
    assert votes.images["frame"].tolist() == ["-1", "-1"]


FRIEND = "1.2.1,train,Femur,0,-1,A\n"


@pytest.mark.parametrize(
    ("rows", "classes", "said"),
    [
        ("1.2.1,train,Femurr,0,-1,A\n", ["Femur", "Other"], r"bob.csv, row 2: class 'Femurr' .*did you mean Femur\?"),
        ("1.2.1,train,femur,0,-1,A\n", None, "classes 'Femur' and 'femur' differ in spelling only"),
        ("1.2.1,train,Femur,1,-1,A\n", None, r"'Femur' has the numbers 0 \(.*ann.csv, row 2\), 1 \(.*bob.csv, row 2\)"),
        ("1.2.1,train,Spine,0,-1,A\n", None, "classes 'Femur' and 'Spine' both have the number 0"),
        ("1.2.1,train,Spine,x,-1,A\n", None, r"class_int x \(.*bob.csv, row 2\) of class 'Spine' is no number"),
        ("1.2.1,train,Spine,,-1,A\n", None, "class 'Spine' has no class_int, and others have"),
        (
            "1.2.1,train,Femur,0,-1,A\n1.2.1.dcm,train,Femur,0,0,A\n",
            None,
            "'bob' has labelled the same image in row 2;",
        ),
        ("1.2E+30,train,Femur,0,-1,A\n", None, "bob.csv: 1 problem\n  row 2: .*scientific notation"),
        ('1.2.1,train,Femur,0,"3,0",A\n', None, "write 3"),
        ("1.2.9,train,Femur,0,-1,A\n", None, "no image has the labels of two experts"),
        ("1.2.1,train,,0,-1,A\n", None, "only 'ann' has labelled images; give the tables of two experts"),
    ],
)
def test_what_is_wrong_is_named(ann, tmp_path, rows, classes, said):
    bob = write(tmp_path, "bob.csv", rows)
    with pytest.raises(InputError, match=said):
        read_votes([ann, bob], classes)


def test_wrong_files_are_named(ann, tmp_path):
    with pytest.raises(InputError, match="there is no such file; give the tables of the experts"):
        read_votes([ann, tmp_path / "none.csv"])
    with pytest.raises(InputError, match="is given twice"):
        read_votes([ann, ann])
    with pytest.raises(InputError, match="only 'ann' has"):
        read_votes([ann])
    with pytest.raises(InputError, match="column 'class' is missing"):
        read_votes([ann, write(tmp_path, "bob.csv", "1.2,Femur\n", "SOPInstanceUID,klass\n")])
    nobody = write(tmp_path, "all.csv", "1.2,,Femur\n", "SOPInstanceUID,expert,class\n")
    with pytest.raises(InputError, match="row 2: expert is empty"):
        read_votes([nobody])


def test_pictures_may_be_voted_on(tmp_path):
    for name, label in (("ann", "Femur"), ("bob", "Other")):
        (tmp_path / f"{name}.csv").write_text(f"file,class\nFemur/1.png,{label}\nSpine/1.png,Other\n")
    votes = read_votes([tmp_path / "ann.csv", tmp_path / "bob.csv"])
    assert votes.images["SOPInstanceUID"].tolist() == ["Femur/1.png", "Spine/1.png"]
    assert "file" not in votes.images
    assert votes.table["label"].tolist() == [0, 1, 1, 1]
