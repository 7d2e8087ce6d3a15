"""One training on DICOM, one on the pictures that it was made from: the same numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fetal_monai.data.importers import import_dataset
from made_archives import picture, write_folder

pytestmark = pytest.mark.thorough

OPTIONS = {"patient_pattern": r"(p\d+)", "test_fraction": 0.25, "val_fraction": 0.25}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    files = {
        f"{name}/p{patient:02d}{suffix}": picture(100 * number + patient, suffix, (90, 120))
        for number, (name, suffix) in enumerate([("Femur", ".png"), ("Spine", ".jpg")])
        for patient in range(12)
    }
    return write_folder(files, tmp_path_factory.mktemp("pictures") / "source")


def test_training_and_evaluation_give_the_same_predictions(pictures, start, tmp_path):
    tables = []
    for in_place in (False, True):
        imported, out = tmp_path / f"import{in_place}", tmp_path / f"run{in_place}"
        import_dataset("folders", pictures, imported, in_place=in_place, **OPTIONS)
        settings = {
            "dataset_dir": str(pictures if in_place else imported),
            "annotations": str(imported / "annotations.csv"),
            "class_names": ["Femur", "Spine"],
            "max_epochs": 1,
            "seed": 3,
        }
        for run_id, overlays in (("training", ()), ("evaluating", ("evaluate.yaml",))):
            flow = start(out, *overlays, run_id=run_id, **settings)
            flow.run()
            flow.finalize()
        tables.append(pd.read_csv(out / "eval" / "predictions.csv"))
        assert (out / "eval" / "report.html").stat().st_size > 10_000
    as_dicom, in_place = tables
    assert len(as_dicom) == len(in_place) >= 4
    assert as_dicom["class"].tolist() == in_place["class"].tolist()
    np.testing.assert_array_equal(as_dicom[["Femur", "Spine"]], in_place[["Femur", "Spine"]])
    assert in_place["SOPInstanceUID"].str.endswith((".png", ".jpg")).all()
