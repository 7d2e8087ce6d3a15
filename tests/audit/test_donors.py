from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.audit.donors import choose_donors
from fetal_monai.data import load_datalists
from fetal_monai.data.annotations import read_annotations

MANY = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) > 1
)


@given(MANY, st.integers(0, 9))
def test_donors_are_of_another_class_and_patient_where_there_is_one(rows, seed):
    items = [{"label": label, "patient_id": f"P{patient}"} for label, patient in rows]
    donors = choose_donors(items, np.random.default_rng(seed))
    assert donors == choose_donors(items, np.random.default_rng(seed))
    for item, donor in zip(items, donors, strict=True):
        given_by = items[donor]
        assert given_by["label"] != item["label"]
        others = {one["patient_id"] for one in items if one["label"] == given_by["label"]} - {item["patient_id"]}
        assert given_by["patient_id"] != item["patient_id"] or not others


def test_devices_stand_beside_their_images(phantom, class_names, tmp_path):
    table = read_annotations(phantom / "annotations.csv").drop(columns="row")
    table["device"] = [f"device of {uid}" for uid in table["SOPInstanceUID"]]
    table.to_csv(tmp_path / "with.csv", index=False)
    items = load_datalists(tmp_path / "with.csv", phantom, class_names, splits=["test"])["test"]
    assert [item["device"] for item in items] == [f"device of {item['SOPInstanceUID']}" for item in items]
    table.drop(columns="device").to_csv(tmp_path / "without.csv", index=False)
    items = load_datalists(tmp_path / "without.csv", phantom, class_names, splits=["test"])["test"]
    assert {item["device"] for item in items} == {""}
