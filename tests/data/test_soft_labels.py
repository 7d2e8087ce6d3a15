"""Columns of probabilities in the table of labels: read, checked row by row, and used wherever the class is not."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.data import class_counts, load_datalists
from fetal_monai.data.checks import check_data
from fetal_monai.data.soft_labels import soft_columns, soft_label, soft_label_problems
from fetal_monai.errors import InputError
from fetal_monai.model.description import fingerprint


@pytest.fixture
def labels(phantom):
    """The phantom's table, each image 0.75 sure, the rest on the next class."""
    return soft(pd.read_csv(phantom / "annotations.csv", dtype=str))


def soft(table):
    names = sorted(table["class"].unique())
    following = dict(zip(names, names[1:] + names[:1], strict=True))
    for name in names:
        table[f"p:{name}"] = (0.75 * (table["class"] == name) + 0.25 * (table["class"].map(following) == name)).map(str)
    return table


def write(table, folder):
    path = folder / "soft.csv"
    table.to_csv(path, index=False)
    return path


def test_items_carry_probabilities_beside_the_class(labels, phantom, class_names, tmp_path):
    labels.loc[0, [name for name in labels if name.startswith("p:")]] = ""
    lists = load_datalists(write(labels, tmp_path), phantom, class_names)
    hard = load_datalists(phantom / "annotations.csv", phantom, class_names)
    for split, items in lists.items():
        assert class_counts(items, class_names) == class_counts(hard[split], class_names)
        for item in items:
            assert item["soft_label"].shape == (16,)
            assert item["soft_label"].dtype == np.float32
            assert item["soft_label"].sum() == pytest.approx(1)
            assert item["soft_label"].argmax() == item["label"]
    sure = [item["soft_label"].max() for items in lists.values() for item in items]
    assert sorted(sure, reverse=True)[:2] == [1, 0.75], "the row that was emptied is sure of its class"
    assert not any("soft_label" in item for items in hard.values() for item in items)


def test_the_fingerprint_tells_soft_labels_from_hard_ones(labels, phantom, class_names, tmp_path):
    hard = fingerprint(load_datalists(phantom / "annotations.csv", phantom, class_names))
    found = fingerprint(load_datalists(write(labels, tmp_path), phantom, class_names))
    assert found["sha256"] != hard["sha256"]
    assert found["train"] == hard["train"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"p:Femur": "0,5"}, "row 2: '0,5' in column 'p:Femur' is no probability; write 0.5"),
        ({"p:Femur": "nan"}, "'nan' in column 'p:Femur' is no probability; write one from 0 to 1"),
        ({"p:Femur": "1.5"}, "'1.5' in column 'p:Femur' is no probability"),
        ({"p:Femur": "0.9"}, "the probabilities sum to 1.15; make them sum to 1"),
        ({"p:Femur": "0.25", "p:Other": "0.75"}, "class 'Femur' has probability 0.25 and 'Other' 0.75; correct one"),
    ],
)
def test_what_is_wrong_is_named_by_training_and_by_check(labels, phantom, class_names, tmp_path, change, said):
    femur = labels[labels["class"] == "Femur"].index[0]
    labels = pd.concat([labels.loc[[femur]], labels.drop(index=femur)])  # to row 2
    first = labels.index[0]
    for name in labels:
        if name.startswith("p:") and float(labels.loc[first, name]) == 0.25:
            labels.loc[first, name] = "0"
            labels.loc[first, "p:Other"] = "0.25"
    for name, value in change.items():
        labels.loc[first, name] = value
    path = write(labels, tmp_path)
    with pytest.raises(InputError) as caught:
        load_datalists(path, phantom, class_names)
    assert said in str(caught.value)
    for names in (class_names, None):
        assert any(said in finding.text for finding in check_data(phantom, path, names).findings)


def test_a_column_of_an_unknown_class_is_named_with_the_likely_one(labels, phantom, class_names, tmp_path):
    path = write(labels.rename(columns={"p:Spine": "p:Spime"}), tmp_path)
    with pytest.raises(InputError, match=r"row 1: column 'p:Spime'.*did you mean Spine\?"):
        load_datalists(path, phantom, class_names)


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(any), st.integers(2, 6))
def test_rounded_probabilities_are_read_back(parts, digits):
    names = ["A", "B", "C"]
    shares = np.array(parts) / sum(parts)
    record = {f"p:{name}": f"{share:.{digits}f}" for name, share in zip(names, shares, strict=True)}
    record |= {"class": names[int(shares.argmax())], "row": 2}
    columns = soft_columns(pd.DataFrame([record]))
    found = soft_label(record, columns, names)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, shares, atol=2 * 10**-digits)
    assert soft_label_problems(pd.DataFrame([record]), names) == []
