import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t
from sklearn import metrics as sk

from fetal_monai.errors import InputError
from fetal_monai.metrics import Predictions
from fetal_monai.metrics.bootstrap import bootstrap_intervals, expanded_interval, patient_weights, replicate_metrics
from fetal_monai.metrics.calibration_error import calibration_metrics
from fetal_monai.metrics.classification import MACRO_F1_OF_COMMON
from fetal_monai.metrics.weighted import OVERALL, PER_CLASS


def by_scikit_learn(labels, probabilities, classes):
    """Every metric of one replicate, computed elsewhere, on images that are really repeated."""
    predicted = probabilities.argmax(axis=1)
    present = sorted(set(labels))
    every = range(classes)
    row = dict(zip(("precision", "recall", "f1"), sk.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=np.nan)[:3], strict=True))  # fmt: skip
    absent = np.array([k not in present for k in every])
    row["f1"] = np.where(absent, np.nan, row["f1"])
    row["roc_auc"], row["average_precision"] = np.full(classes, np.nan), np.full(classes, np.nan)
    for k in present:
        row["average_precision"][k] = sk.average_precision_score(labels == k, probabilities[:, k])
        if len(present) > 1:
            row["roc_auc"][k] = sk.roc_auc_score(labels == k, probabilities[:, k])
    beaten = (probabilities > probabilities[np.arange(len(labels)), labels][:, None]).sum(axis=1)
    row |= {"accuracy": sk.accuracy_score(labels, predicted), "top2_accuracy": np.mean(beaten < 2)}
    with np.errstate(all="ignore"):
        agreement = sk.confusion_matrix(labels, predicted, labels=every)
        certain = (agreement.sum(0) * agreement.sum(1)).sum() == len(labels) ** 2
        row["cohen_kappa"] = np.nan if certain else sk.cohen_kappa_score(labels, predicted)
    return row


MACRO = {
    "balanced_accuracy": "recall",
    "macro_f1": "f1",
    "macro_roc_auc": "roc_auc",
    "macro_average_precision": "average_precision",
}


def macro_averages(row, all_images, support):
    """Over the classes among all images, whose values stand where the replicate has none."""
    filled = {name: np.where(np.isnan(row[name]), all_images[name], row[name]) for name in MACRO.values()}
    averages = {name: filled[of][support > 0].mean() for name, of in MACRO.items()}
    common = filled["f1"][support >= 10]
    return averages | {MACRO_F1_OF_COMMON: common.mean() if len(common) else np.nan}


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(3, 60), st.sampled_from([0, 1, None]))
def test_a_weighted_replicate_equals_scikit_learn_on_repeated_images(simulate, seed, count, decimals):
    table = simulate(seed, count=count, patients=7, decimals=decimals)
    groups = np.unique(table.patient_ids, return_inverse=True)[1]
    weights = patient_weights(groups.max() + 1, 3, seed)
    ours = replicate_metrics(table, groups, weights)
    assert set(ours) == {*OVERALL, *PER_CLASS}
    all_images = by_scikit_learn(table.labels, table.probabilities, 4)
    support = np.bincount(table.labels, minlength=4)
    for row, weight in enumerate(weights):
        again = np.repeat(np.arange(count), weight[groups].astype(int))
        labels, probabilities = table.labels[again], table.probabilities[again]
        if len(again) == 0:
            continue
        replicate = by_scikit_learn(labels, probabilities, 4)
        for name, value in (replicate | macro_averages(replicate, all_images, support)).items():
            np.testing.assert_allclose(ours[name][row], value, atol=1e-12, err_msg=name)
        repeated = Predictions("abcd", np.arange(len(again)).astype(str), [-1] * len(again), labels, probabilities)
        for name, value in calibration_metrics(repeated).items():
            if name != "classwise_ece":
                assert ours[name][row] == pytest.approx(value)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_top_two_agrees_with_scikit_learn(simulate):
    table = simulate(5)
    value = bootstrap_intervals(table, replicates=0).overall["top2_accuracy"].value
    assert value == pytest.approx(sk.top_k_accuracy_score(table.labels, table.probabilities, k=2))


@given(st.integers(0, 10**6), st.integers(3, 60))
def test_the_macro_averages_of_all_images_are_scikit_learns(simulate, seed, count):
    table = simulate(seed, count=count, patients=7)
    overall = bootstrap_intervals(table, replicates=0).overall
    present, predicted = np.unique(table.labels), table.predicted
    options = {"labels": present, "average": "macro", "zero_division": 0}
    assert overall["macro_f1"].value == pytest.approx(sk.f1_score(table.labels, predicted, **options))
    assert overall["balanced_accuracy"].value == pytest.approx(sk.recall_score(table.labels, predicted, **options))
    common = np.flatnonzero(np.bincount(table.labels) >= 10)
    if len(common):
        expected = sk.f1_score(table.labels, predicted, **options | {"labels": common})
        assert overall[MACRO_F1_OF_COMMON].value == pytest.approx(expected)
    else:
        assert overall[MACRO_F1_OF_COMMON].why == "undefined: no class has 10 images"


def test_replicates_lie_around_the_value_although_many_hold_no_image_of_a_class():
    # One image of class c, recognised; of a and b every fourth is not. 37 % of the replicates have no c.
    labels = np.append(np.arange(80) % 2, 2)
    predicted = np.where(np.arange(81) % 8 < 2, 1 - labels, labels)
    predicted[-1] = 2
    names = np.arange(81).astype(str)
    table = Predictions("abc", names, [-1] * 81, labels, np.eye(3)[predicted], patient_ids=names)
    replicates = replicate_metrics(table, np.arange(81), patient_weights(81, 4000, 0))
    overall = bootstrap_intervals(table).overall
    absent = np.isnan(replicates["f1"][:, 2])
    assert 0.34 < absent.mean() < 0.4
    for name, of in MACRO.items():
        value, interval = overall[name].value, overall[name]
        assert abs(replicates[name].mean() - value) < 0.005, name
        assert interval.low < value < interval.high
        changing_classes = np.nanmean(replicates[of], axis=1)
        assert changing_classes.mean() < value - 0.02, "averaging what each replicate holds has another centre"


def population(rng, patients, shares=(0.4, 0.3, 0.2, 0.1)):
    """Patients with several frames each, some easier than others, classes of unequal frequency."""
    frames = rng.integers(1, 6, patients)
    groups = np.repeat(np.arange(patients), frames)
    labels = rng.choice(4, len(groups), p=shares)
    logits = rng.normal(size=(len(groups), 4))
    logits[np.arange(len(groups)), labels] += rng.normal(1.2, 1.0, patients)[groups]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = np.arange(len(groups)).astype(str)
    return Predictions("abcd", names, [-1] * len(groups), labels, probabilities, patient_ids=groups.astype(str))


def coverage(repeats, patients, names):
    rng = np.random.default_rng(7)
    truth = {name: i.value for name, i in bootstrap_intervals(population(rng, 40_000), replicates=0).overall.items()}
    inside = dict.fromkeys(names, 0)
    for repeat in range(repeats):
        intervals = bootstrap_intervals(population(rng, patients), replicates=300, seed=repeat).overall
        for name in names:
            inside[name] += intervals[name].low <= truth[name] <= intervals[name].high
    return {name: count / repeats for name, count in inside.items()}


@pytest.mark.thorough
def test_intervals_cover_what_they_promise():
    names = ["accuracy", "balanced_accuracy", "macro_f1", MACRO_F1_OF_COMMON, "cohen_kappa", "brier", "nll"]
    for name, share in coverage(300, 80, names).items():
        assert 0.92 <= share <= 0.98, name


@pytest.mark.slow
def test_intervals_cover_what_they_promise_with_thirty_patients():
    for name, share in coverage(2000, 30, ["accuracy", "macro_f1", "top2_accuracy", "nll"]).items():
        assert 0.92 <= share <= 0.98, name


@pytest.mark.slow
def test_with_a_rare_class_the_average_over_the_common_ones_covers_what_it_promises():
    shares, rng = (0.5, 0.3, 0.185, 0.015), np.random.default_rng(7)  # of the last about three images
    f1 = bootstrap_intervals(population(rng, 40_000, shares), replicates=0).per_class["f1"]
    truth, inside = np.array([interval.value for interval in f1.values()]), []
    for repeat in range(1000):
        table = population(rng, 68, shares)
        interval = bootstrap_intervals(table, replicates=300, seed=repeat).overall[MACRO_F1_OF_COMMON]
        common = np.bincount(table.labels, minlength=4) >= 10
        inside.append(interval.low <= truth[common].mean() <= interval.high)
    assert 0.92 <= np.mean(inside) <= 0.98


def test_ignoring_patients_would_promise_too_much():
    # All frames of a patient agree: 40 patients, not 400 images, are what there is to know.
    right = np.repeat(np.arange(40) % 4 != 0, 10)
    labels = np.arange(400) % 2
    hit = np.where(right, labels, 1 - labels)
    probabilities = np.where(np.arange(2) == hit[:, None], 0.9, 0.1)
    names = np.arange(400).astype(str)

    def width(patients):
        table = Predictions("ab", names, [-1] * 400, labels, probabilities, patient_ids=patients)
        interval = bootstrap_intervals(table).overall["accuracy"]
        return interval.high - interval.low

    assert width(np.repeat(np.arange(40), 10).astype(str)) > 2.5 * width(names)


def test_same_seed_same_intervals(simulate):
    table = simulate(0, patients=20)
    assert bootstrap_intervals(table, seed=3) == bootstrap_intervals(table, seed=3)
    assert bootstrap_intervals(table, seed=3) != bootstrap_intervals(table, seed=4)


def test_where_there_can_be_no_interval_the_reason_stands():
    def table(patients):
        return Predictions("abc", list("1234"), [-1] * 4, [0, 0, 1, 1], np.eye(3)[[0, 0, 1, 0]], patient_ids=patients)

    for patients, reason in ((None, "patients are unknown"), (["P"] * 4, "all images are of one patient")):
        accuracy = bootstrap_intervals(table(patients)).overall["accuracy"]
        assert (accuracy.value, accuracy.low, accuracy.high) == (0.75, None, None)
        assert reason in accuracy.why
    intervals = bootstrap_intervals(table(list("PQRS")))
    assert intervals.overall["accuracy"].low is not None
    assert intervals.overall["ece"].low is None
    assert intervals.per_class["recall"]["c"].why == "no image has this label"
    assert intervals.per_class["roc_auc"]["c"].value is None
    assert intervals.per_class["recall"]["a"].value == 1
    assert "fewer than 5 patients" in intervals.per_class["recall"]["a"].why


def test_a_single_class_leaves_ranking_undefined():
    table = Predictions("ab", list("12"), [-1] * 2, [0, 0], [[0.6, 0.4], [0.3, 0.7]], patient_ids=list("PQ"))
    overall = bootstrap_intervals(table).overall
    assert overall["macro_roc_auc"].value is None
    assert overall["accuracy"].value == 0.5
    with pytest.raises(InputError, match="no image has a known label"):
        bootstrap_intervals(Predictions("ab", ["1"], [-1], [-1], [[1, 0]]))


@pytest.mark.parametrize("patients", [5, 30, 1000])
def test_normal_replicates_give_students_interval(patients):
    samples = norm.ppf((np.arange(200_001) + 0.5) / 200_001)
    low, high = expanded_interval(samples, patients, 0.95)
    expected = t.ppf(0.975, patients - 1) * np.sqrt(patients / (patients - 1))
    assert high == pytest.approx(expected, rel=1e-3)
    assert low == pytest.approx(-expected, rel=1e-3)
