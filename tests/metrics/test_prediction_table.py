import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fetal_monai.errors import InputError
from fetal_monai.metrics import Predictions

NAMES = ["Femur", "Head (PPP, Tectum)", "Other"]


def make(probabilities, **changes):
    count = len(probabilities)
    fields = {
        "class_names": NAMES,
        "sop_instance_uids": [f"1.2.{i}" for i in range(count)],
        "frames": [-1] * count,
        "labels": [0] * count,
        "probabilities": probabilities,
    }
    return Predictions(**(fields | changes))


def test_the_file_has_the_columns_that_the_contract_names(tmp_path):
    table = make([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], labels=[0, -1], frames=[-1, 3], patient_ids=["007", "A"])
    table.write_csv(tmp_path / "predictions.csv")
    assert (tmp_path / "predictions.csv").read_text().splitlines() == [
        'SOPInstanceUID,frame,class,prediction,probability,Femur,"Head (PPP, Tectum)",Other,patient_id',
        "1.2.0,-1,Femur,Femur,0.7,0.7,0.2,0.1,007",
        "1.2.1,3,,Other,0.6,0.1,0.3,0.6,A",
    ]


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.just(3)), elements=st.floats(-30, 30)), st.data())
def test_what_is_written_is_read_back(tmp_path_factory, logits, data):
    exponentials = np.exp(logits)
    labels = data.draw(st.lists(st.integers(-1, 2), min_size=len(logits), max_size=len(logits)))
    table = make(exponentials / exponentials.sum(axis=1, keepdims=True), labels=labels)
    path = tmp_path_factory.mktemp("csv") / "predictions.csv"
    table.write_csv(path)
    again = Predictions.read_csv(path, NAMES)
    np.testing.assert_allclose(again.probabilities, table.probabilities, rtol=1e-8)
    assert again.keys == table.keys
    assert again.labels.tolist() == labels
    assert again.class_names == tuple(NAMES)
    assert again.patient_ids is None


def test_reading_orders_the_classes_as_asked(tmp_path):
    make([[0.7, 0.2, 0.1]]).write_csv(tmp_path / "p.csv")
    again = Predictions.read_csv(tmp_path / "p.csv", NAMES[::-1])
    assert again.probabilities.tolist() == [[0.1, 0.2, 0.7]]
    assert again.labels.tolist() == [2]


@pytest.mark.parametrize(
    ("probabilities", "changes", "message"),
    [
        ([[0.5, np.nan, 0.5]], {}, r"row 1 \(1.2.0, frame -1\): a probability is NaN"),
        ([[0.5, 0.2, 0.2]], {}, r"row 1 .*: probabilities sum to 0.9, not 1"),
        ([[1.5, -0.5, 0.0]], {}, r"row 1 .*: a probability is outside \[0, 1\]"),
        ([[1, 0, 0]], {"labels": [3]}, r"row 1 .*: label 3 is outside the class list"),
        ([[1, 0, 0]] * 3, {"sop_instance_uids": ["a", "b", "a"]}, r"row 3 \(a.*the same image as row 1"),
        ([[1, 0]], {}, r"probabilities have shape \(1, 2\)"),
        ([[1, 0, 0]], {"labels": [0, 1]}, r"labels have shape \(2,\), but there are 1 images"),
        ([[1, 0, 0]], {"patient_ids": ["a", "b"]}, r"patient_ids have shape"),
        (np.zeros((0, 3)), {}, "no images; check that the split is not empty"),
        ([[1, 0, 0]], {"class_names": ["a", "a", "b"]}, "distinct"),
        ([[1, 0, 0]], {"class_names": ["a", "frame", "b"]}, r"\['frame'\] are names of other columns"),
    ],
)
def test_impossible_values_are_refused(probabilities, changes, message):
    with pytest.raises(InputError, match=message):
        make(probabilities, **changes)


def test_all_bad_rows_are_reported_at_once():
    with pytest.raises(InputError) as caught:
        make([[0.5, 0.2, 0.2], [1, 0, 0], [np.inf, 0, 0]])
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file; give the folder of an evaluation"),
        ("", "cannot be read as a table"),
        ("SOPInstanceUID,frame\n1,2\n", "column class is missing"),
        ("SOPInstanceUID,frame,class,prediction,probability,a,b\n1,-1,c,a,1,1,0\n", "row 2: class 'c' is not in the"),
        ("SOPInstanceUID,frame,class,prediction,probability,a,b\n1,-1,a,a,1,x,0\n", "row 2: a frame or a probability"),
        ("SOPInstanceUID,frame,class,prediction,probability,a,b\n1,-1,a,b,1,1,0\n", "row 2: the prediction is not"),
        ("SOPInstanceUID,frame,class,prediction,probability,a,b\n", "no images"),
    ],
)
def test_a_damaged_file_is_refused_with_its_row(tmp_path, text, message):
    path = tmp_path / "predictions.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        Predictions.read_csv(path)


def test_another_class_list_is_refused(tmp_path):
    make([[1, 0, 0]]).write_csv(tmp_path / "p.csv")
    with pytest.raises(InputError, match="same class list"):
        Predictions.read_csv(tmp_path / "p.csv", ["Femur", "Spine", "Other"])


def test_unknown_labels_are_left_out_but_not_all_of_them():
    table = make([[1, 0, 0], [0, 1, 0]], labels=[-1, 1], patient_ids=["a", "b"])
    assert table.labelled().keys == [("1.2.1", -1)]
    assert table.labelled().patient_ids.tolist() == ["b"]
    with pytest.raises(InputError, match="no image has a known label"):
        make([[1, 0, 0]], labels=[-1]).labelled()
