import io
import json

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from fetal_monai.errors import InputError
from fetal_monai.metrics import Predictions
from fetal_monai.report.evaluation import evaluate
from fetal_monai.report.tables import summary_table, write_evaluation


def test_calibration_lowers_the_error_and_keeps_every_decision(splits):
    test, validation = splits
    found = evaluate(test, validation, calibration="temperature", replicates=50)
    np.testing.assert_array_equal(found.predictions.predicted, test.predicted)
    part = found.metrics["calibration"]
    assert part["after"]["ece"] < part["before"]["ece"] / 2
    assert part["fitted"]["images"] == 300
    assert "no validation image of Cervix" in part["fitted"]["note"]
    assert part["fitted"]["temperature"] < 0.6


def test_every_number_is_about_the_probabilities_that_are_written(splits, tmp_path):
    test, validation = splits
    found = evaluate(test, validation, risk=0.2, replicates=50)
    paths = write_evaluation(found, tmp_path)
    metrics = json.loads(paths["metrics"].read_text())
    written = Predictions.read_csv(paths["predictions"])
    auc = roc_auc_score(written.labels == 1, written.probabilities[:, 1])
    assert metrics["per_class"]["Head (PPP, Tectum)"]["roc_auc"] == pytest.approx(auc, abs=1e-6)
    recalls = [row["recall"] for row in metrics["per_class"].values() if row["recall"] is not None]
    assert metrics["share_of_classes_with_recall_above"]["0.75"] == pytest.approx(np.mean(np.array(recalls) > 0.75))
    assert metrics["intervals"]["accuracy"]["low"] < metrics["accuracy"] < metrics["intervals"]["accuracy"]["high"]
    assert "interval would be wrong" in metrics["intervals"]["ece"]["why"]
    kept = written.confidence >= metrics["selective_prediction"]["abstention"]["threshold"]
    assert metrics["selective_prediction"]["abstention"]["test_coverage"] == pytest.approx(kept.mean())
    assert Predictions.read_csv(paths["predictions_uncalibrated"]).confidence == pytest.approx(test.confidence)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths.values()}
    assert paths["per_class"].read_text().startswith("class,precision,recall,f1,support,precision_low")


def test_what_is_undefined_is_said(splits):
    metrics = evaluate(splits[0], replicates=50).metrics
    assert metrics["per_class"]["Cervix & <b>more</b>"]["roc_auc"] is None
    assert any(reason.startswith("ROC AUC and average precision of Cervix") for reason in metrics["undefined"])
    assert metrics["calibration"]["after"] is None
    assert metrics["conformal_sets"] is None
    assert metrics["selective_prediction"]["abstention"] is None


def test_a_validation_split_that_leaks_is_refused(splits):
    test, validation = splits
    with pytest.raises(InputError, match="is in the validation split too"):
        evaluate(test, test)
    same_patients = Predictions(
        test.class_names,
        validation.sop_instance_uids,
        validation.frames,
        validation.labels,
        validation.probabilities,
        patient_ids=["10"] * 300,
    )
    with pytest.raises(InputError, match="1 patients are in the validation split too; split by patient"):
        evaluate(test, same_patients)


def test_the_printed_table_holds_the_numbers(splits):
    found = evaluate(splits[0], replicates=50)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(summary_table(found))
    text = console.export_text()
    assert "undefined" in text
    assert f"{found.metrics['macro_f1']:.3f} ({found.metrics['intervals']['macro_f1']['low']:.3f}" in text
