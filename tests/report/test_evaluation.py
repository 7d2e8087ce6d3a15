import io
import json
import re

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from fetal_monai.errors import InputError
from fetal_monai.metrics import Predictions
from fetal_monai.metrics.classification import MACRO_F1_OF_COMMON
from fetal_monai.report.evaluation import evaluate
from fetal_monai.report.evaluation_files import write_evaluation
from fetal_monai.report.html import write_report
from fetal_monai.report.model_card import model_card
from fetal_monai.report.summary import summary_table


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
    for name in ("macro_f1", MACRO_F1_OF_COMMON):
        assert f"{found.metrics[name]:.3f} ({found.metrics['intervals'][name]['low']:.3f}" in text


def test_macro_f1_of_common_classes_has_an_interval_wherever_macro_f1_has_one(splits, tmp_path):
    # Half of the images: one class has fewer than ten, one none, so that the two averages differ.
    found = evaluate(splits[0].subset(range(0, 120, 2)), replicates=50)
    metrics = json.loads(write_evaluation(found, tmp_path)["metrics"].read_text())
    page = write_report(found, tmp_path / "report.html").read_text()
    facts = dict(fact for section in model_card(found) for fact in section.facts)
    assert metrics["macro_f1"] != metrics[MACRO_F1_OF_COMMON]
    for name, label in (("macro_f1", "Macro F1"), (MACRO_F1_OF_COMMON, "Macro F1, classes of 10+ images")):
        value, interval = metrics[name], metrics["intervals"][name]
        assert interval["value"] == value
        assert interval["low"] < value < interval["high"]
        low, high = f"{interval['low']:.3f}", f"{interval['high']:.3f}"
        assert facts[label] == f"{value:.3f} ({low} to {high})"
        assert re.search(rf'<dt>{re.escape(label)}</dt><dd>{value:.3f}\s*<span class="range">\({low}.{high}\)', page)
    assert "too narrow" in facts["Classes with fewer than 10 test images"]


def test_without_common_classes_their_macro_f1_is_undefined_and_says_why(splits, tmp_path):
    found = evaluate(splits[0].subset(range(10)), replicates=50)
    metrics = json.loads(write_evaluation(found, tmp_path)["metrics"].read_text())
    assert metrics[MACRO_F1_OF_COMMON] is None
    assert "no class has 10 images" in metrics["intervals"][MACRO_F1_OF_COMMON]["why"]
    assert "macro F1 of classes with 10 images: no class has as many" in metrics["undefined"]
