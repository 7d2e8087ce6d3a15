"""Classes that a split lacks: what a training refuses is an error of the check, and a typing error is no class."""

import pandas as pd
import pytest

from fetal_monai.data.annotations import load_datalists
from fetal_monai.data.checks import check_data
from fetal_monai.errors import InputError
from fetal_monai.losses import inverse_frequency_weights


@pytest.fixture
def table(phantom):
    return pd.read_csv(phantom / "annotations.csv", dtype=str)


def test_a_class_that_nothing_is_learnt_of_is_an_error_as_it_is_to_a_training(phantom, table, class_names, tmp_path):
    rare = table["class"] == "Femur"
    table.loc[rare, "split"] = "val"
    table.loc[rare, "patient_id"] = "of Femur"
    table.to_csv(tmp_path / "annotations.csv", index=False)
    (found,) = [
        finding
        for finding in check_data(phantom, tmp_path / "annotations.csv", class_names).findings
        if finding.kind == "absent_class" and finding.level == "error"
    ]
    assert found.text.startswith(f"class 'Femur' has no image in train and test ({rare.sum()} in all)")
    lists = load_datalists(tmp_path / "annotations.csv", phantom, class_names, allow_patient_overlap=True)
    counts = [sum(item["label"] == number for item in lists["train"]) for number in range(len(class_names))]
    with pytest.raises(InputError, match="Femur"):
        inverse_frequency_weights(counts, class_names=class_names)


def test_a_misspelt_class_is_not_missed_in_the_other_splits(phantom, table, class_names, tmp_path):
    table.loc[0, "class"] = "Abdmen"
    table.to_csv(tmp_path / "annotations.csv", index=False)
    findings = check_data(phantom, tmp_path / "annotations.csv", class_names).findings
    assert [finding.kind for finding in findings if "Abdmen" in finding.text] == ["row"]
