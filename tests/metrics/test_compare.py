import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fetal_monai.errors import InputError
from fetal_monai.metrics import Predictions
from fetal_monai.metrics.bootstrap import bootstrap_intervals
from fetal_monai.metrics.compare import compare


def table(right, *, patients="own", labels=None):
    count = len(right)
    labels = np.arange(count) % 2 if labels is None else labels
    hit = np.where(right, labels, 1 - labels)
    ids = np.arange(count).astype(str) if patients == "own" else patients
    return Predictions("ab", np.arange(count).astype(str), [-1] * count, labels, np.eye(2)[hit], patient_ids=ids)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_mcnemar_is_the_exact_binomial_test(pairs):
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    result = compare(table(a), table(b), replicates=2)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    assert (result.only_a_right, result.only_b_right) == (only_a, only_b)
    tail = 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)
    assert result.mcnemar_p == pytest.approx(min(1.0, tail))


def test_pairing_narrows_the_interval_and_order_does_not_matter():
    rng = np.random.default_rng(0)
    a = rng.random(300) < 0.7
    b = a | (rng.random(300) < 0.2)
    first, second = table(a), table(b)
    result = compare(first, second)
    gap = result.difference["accuracy"]
    assert gap.value == pytest.approx(b.mean() - a.mean())
    assert gap.low > 0
    alone = bootstrap_intervals(first).overall["accuracy"]
    assert gap.high - gap.low < alone.high - alone.low
    assert compare(first, second.subset(np.arange(300)[::-1])) == result


def test_paired_intervals_cover_the_true_difference():
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(150):
        a = rng.random(120) < 0.7
        b = np.where(a, rng.random(120) < 0.9, rng.random(120) < 0.6)
        interval = compare(table(a), table(b), replicates=300, seed=seed).difference["accuracy"]
        inside += interval.low <= 0.7 * 0.9 + 0.3 * 0.6 - 0.7 <= interval.high
    assert 0.92 <= inside / 150 <= 0.98


def test_a_difference_of_macro_averages_is_centred_although_replicates_lack_a_class():
    labels = np.append(np.arange(60) % 2, 2)  # class c has one image, which B alone recognises
    names = np.arange(61).astype(str)
    first, second = (
        Predictions("abc", names, [-1] * 61, labels, np.eye(3)[np.append(labels[:-1], last)], patient_ids=names)
        for last in (0, 2)
    )
    gap = compare(first, second).difference["macro_f1"]
    assert gap.value > 1 / 3
    assert gap.low > 0.3, "a replicate without class c does not make the two equal"


def test_a_model_against_itself_differs_by_nothing():
    result = compare(table([True, False, True]), table([True, False, True]))
    assert (result.difference["macro_f1"].value, result.difference["macro_f1"].low, result.mcnemar_p) == (0, 0, 1)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (table([True] * 3), "image 3, frame -1 is in predictions but not here"),
        (table([True] * 5), "image 4, frame -1 is here but not in predictions"),
        (table([True] * 4, labels=np.array([0, 1, 1, 1])), "image 2, frame -1 has another label"),
        (table([True] * 4, patients=list("PPQQ")), "patients differ"),
        (Predictions("xy", list("0123"), [-1] * 4, [0, 1, 0, 1], np.eye(2)[[0, 1, 0, 1]]), "same classes"),
    ],
)
def test_other_images_labels_or_classes_are_refused(other, message):
    with pytest.raises(InputError, match=message):
        compare(table([True] * 4), other)


def test_without_patients_there_are_values_but_no_intervals():
    result = compare(table([True, False], patients=None), table([True, True], patients=None))
    assert result.difference["accuracy"].value == 0.5
    assert "patients are unknown" in result.difference["accuracy"].why
    assert result.patients is None
