import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, classification_report, f1_score

from fetal_monai.metrics import Predictions, classification_metrics, confusion_counts, per_class_table

CLASSES = 5
NAMES = [f"class {letter}" for letter in "abcde"]


def table_of(labels, predicted):
    probabilities = np.full((len(labels), CLASSES), 0.05)
    probabilities[np.arange(len(labels)), predicted] = 0.8
    return Predictions(NAMES, np.arange(len(labels)).astype(str), [-1] * len(labels), labels, probabilities)


pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60)


@given(pairs)
def test_agrees_with_counting_by_hand(pairs):
    labels, predicted = zip(*pairs, strict=True)
    metrics = classification_metrics(table_of(labels, predicted))
    scores = []
    for k in range(CLASSES):
        hit = sum(a == k == b for a, b in pairs)
        support, calls = labels.count(k), predicted.count(k)
        row = metrics["per_class"][NAMES[k]]
        assert row["support"] == support
        assert row["recall"] == (None if support == 0 else pytest.approx(hit / support))
        assert row["precision"] == (None if calls == 0 else pytest.approx(hit / calls))
        if support:
            scores.append(2 * hit / (support + calls))
            assert row["f1"] == pytest.approx(scores[-1])
        else:
            assert row["f1"] is None
            assert NAMES[k] in metrics["classes_absent"]
    assert metrics["macro_f1"] == pytest.approx(np.mean(scores))
    assert metrics["accuracy"] == metrics["micro_f1"] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    json.dumps(metrics, allow_nan=False)


@given(pairs)
def test_agrees_with_scikit_learn(pairs):
    labels, predicted = zip(*pairs, strict=True)
    metrics = classification_metrics(table_of(labels, predicted))
    report = classification_report(labels, predicted, output_dict=True, zero_division=0)
    assert metrics["macro_f1"] == pytest.approx(
        f1_score(labels, predicted, labels=sorted(set(labels)), average="macro", zero_division=0)
    )
    assert metrics["micro_f1"] == pytest.approx(f1_score(labels, predicted, average="micro"))
    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert metrics["per_class"][NAMES[labels[0]]]["recall"] == pytest.approx(report[str(labels[0])]["recall"])


def test_a_class_never_predicted_keeps_its_place():
    # The reference took the matrix's labels from the predictions, so that an absent class shifted the axes.
    counts = confusion_counts(table_of([0, 1, 3, 3], [0, 3, 3, 3]))
    assert counts.shape == (CLASSES, CLASSES)
    assert counts[1, 3] == 1
    assert counts[3, 3] == 2
    assert counts[:, 1].sum() == 0
    assert counts.sum() == 4


def test_undefined_values_are_said_to_be():
    metrics = classification_metrics(table_of([0, 1], [0, 4]))
    assert "recall and F1 of class c: no image has this label" in metrics["undefined"]
    assert "precision of class b: it is never predicted" in metrics["undefined"]
    assert metrics["per_class"]["class e"] == {"precision": 0.0, "recall": None, "f1": None, "support": 0}
    assert metrics["macro_f1_is_over"] == "2 of 5 classes: those present in the labels"


def test_rare_classes_can_be_left_out_of_the_average():
    labels = [0] * 10 + [1] * 9
    metrics = classification_metrics(table_of(labels, [0] * 19))
    assert metrics["classes_with_10_images"] == ["class a"]
    assert metrics["macro_f1_of_classes_with_10_images"] == pytest.approx(20 / 29)
    assert metrics["macro_f1"] == pytest.approx(10 / 29)


def test_unlabelled_images_and_patients_are_counted():
    table = Predictions(
        NAMES, ["a", "b", "c"], [-1, -1, -1], [0, -1, 1], np.eye(CLASSES)[[0, 1, 1]], patient_ids=["P1", "P2", "P1"]
    )
    metrics = classification_metrics(table)
    assert (metrics["images"], metrics["images_without_label"], metrics["patients"]) == (2, 1, 1)
    assert per_class_table(table).support.sum() == 2
