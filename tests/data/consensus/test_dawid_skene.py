"""On experts whose errors are known: the truth is found, the errors are, and how sure one may be."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetal_monai.data.consensus import find_consensus
from fetal_monai.data.consensus.leave_one_out import leave_one_out
from made_votes import as_votes, confusion, simulate

crowdkit = pytest.importorskip("crowdkit.aggregation", reason="crowd-kit is not installed")
ACCURACIES = (0.9, 0.85, 0.7, 0.6, 0.55)


def right(consensus, truth):
    return float((consensus.labels == truth).mean())


def surprise(posterior, truth):
    return float(-np.log(posterior[np.arange(len(truth)), truth].clip(1e-12)).mean())


def fit_alone(votes):
    """The probabilities of crowd-kit's fit."""
    answers = votes.table.set_axis(["task", "worker", "label"], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return crowdkit.DawidSkene(200).fit_predict_proba(answers)


@pytest.mark.parametrize("seed", range(3))
def test_known_experts_are_seen_through(seed):
    """Better than the majority, and every rate of every expert within 0.05."""
    matrices = [confusion(4, accuracy) for accuracy in ACCURACIES]
    votes, truth = simulate(matrices, 3000, seed, [0.4, 0.25, 0.2, 0.15])
    found, majority = find_consensus(votes), find_consensus(votes, "majority")
    assert right(found, truth) > right(majority, truth) + 0.03
    assert right(found, truth) > 0.97
    for number, matrix in enumerate(matrices):
        np.testing.assert_allclose(found.rates(f"e{number}"), matrix, atol=0.05)
        assert found.accuracy(f"e{number}") == pytest.approx(ACCURACIES[number], abs=0.03)


@pytest.mark.parametrize(("images", "classes"), [(60, 16), (300, 16), (500, 8)])
def test_probabilities_are_honest_where_images_are_few(images, classes):
    """Those of the fit itself are near 1 even where they are wrong."""
    honest, fitted, sure, correct = [], [], [], []
    for seed in range(3):
        votes, truth = simulate([confusion(classes, a, systematic=False) for a in (0.95, 0.8, 0.6)], images, seed)
        found = find_consensus(votes)
        own = fit_alone(votes)
        honest.append(surprise(found.posterior, truth))
        fitted.append(surprise(own.reindex(columns=range(classes)).fillna(0).to_numpy(), truth))
        sure.append(found.probability.mean())
        correct.append(right(found, truth))
    assert np.mean(honest) < 0.5 * np.mean(fitted)
    assert np.mean(sure) == pytest.approx(np.mean(correct), abs=0.04)


def test_one_coin_needs_fewer_images():
    scores = {"dawid-skene": [], "one-coin": [], "majority": []}
    for seed in range(4):
        votes, truth = simulate([confusion(16, a, systematic=False) for a in (0.95, 0.8, 0.6)], 150, seed)
        for method, seen in scores.items():
            seen.append(surprise(find_consensus(votes, method).posterior, truth))
    assert np.mean(scores["one-coin"]) < np.mean(scores["dawid-skene"]) < np.mean(scores["majority"])


def test_leaving_out_is_what_it_says():
    """Against loops in plain Python, with experts who have not seen every image."""
    rng = np.random.default_rng(0)
    posterior = rng.dirichlet(np.ones(3), 7)
    votes = [(i, e, int(rng.integers(3))) for i in range(7) for e in range(3) if (i + e) % 4]
    found = leave_one_out(posterior, *np.array(votes).T)
    for image in range(7):
        expected = []
        for true in range(3):
            others = sum(posterior[i, true] for i in range(7) if i != image)
            value = others + 1
            for _, expert, label in (vote for vote in votes if vote[0] == image):
                same = [(v, posterior[i, true]) for i, e, v in votes if e == expert and i != image]
                right_or_wrong = 4 if label == true else 0.5
                value *= (right_or_wrong + sum(p for v, p in same if v == label)) / (5 + sum(p for _, p in same))
            expected.append(value)
        np.testing.assert_allclose(found[image], np.array(expected) / sum(expected))


def test_krippendorffs_own_example():
    """Four observers, twelve units, nominal: alpha is 0.743 (Krippendorff 2011, Computing Krippendorff's Alpha)."""
    rows = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."]
    table = pd.DataFrame(
        [
            (image, f"e{expert}", int(value) - 1)
            for expert, row in enumerate(rows)
            for image, value in enumerate(row.split())
            if value != "."
        ],
        columns=["image", "expert", "label"],
    ).sort_values(["image", "expert"], ignore_index=True)
    assert find_consensus(as_votes(table, 5)).alpha == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize("method", ["dawid-skene", "one-coin", "majority"])
def test_where_all_agree_nothing_is_in_doubt(method):
    table = pd.DataFrame(
        [(image, e, image % 2) for image in range(8) for e in "abc"], columns=["image", "expert", "label"]
    )
    found = find_consensus(as_votes(table, 3), method)
    assert found.labels.tolist() == [0, 1] * 4
    assert found.disputed == []
    assert found.alpha == 1
    assert found.probability.min() > 0.97
    assert np.isnan(found.rates("a")[2]).all(), "nobody has seen the third class"
    same = find_consensus(as_votes(table.assign(label=1), 3), method)
    assert same.alpha is None
    assert set(same.labels) == {1}


@pytest.mark.parametrize("method", ["dawid-skene", "one-coin", "majority"])
def test_an_even_disagreement_is_a_tie_and_the_first_in_doubt(method):
    table = pd.DataFrame(
        [(image, e, image % 2) for image in range(8) for e in "ab"]
        + [(8, "a", 1), (8, "b", 0), (9, "a", 0), (9, "b", 1)],
        columns=["image", "expert", "label"],
    )
    found = find_consensus(as_votes(table, 2), method)
    assert found.tied.tolist() == [False] * 8 + [True] * 2
    assert found.labels[8:].tolist() == [0, 0]
    assert found.probability[8:] == pytest.approx([0.5, 0.5])
    assert found.disputed == [8, 9]


def test_a_class_that_no_expert_named_is_told():
    """Each takes class 0 for another one in a third of its images: once all three do so together."""
    own_error = {"a": 1, "b": 2, "c": 3}
    rows = [
        (n, e, wrong if n % 3 == turn else 0) for n in range(60) for turn, (e, wrong) in enumerate(own_error.items())
    ]
    rows += [(n, e, n // 10 - 5) for n in range(60, 90) for e in own_error]
    rows += [(90, e, wrong) for e, wrong in own_error.items()]
    votes = as_votes(pd.DataFrame(rows, columns=["image", "expert", "label"]), 4)
    found = find_consensus(votes)
    assert found.labels[90] == 0
    assert np.flatnonzero(found.unnamed).tolist() == [90]
    assert 90 in found.disputed
    assert not find_consensus(votes, "majority").unnamed.any()


def test_an_expert_of_one_image_is_trusted_a_little():
    table = pd.DataFrame(
        [(image, e, image % 3) for image in range(30) for e in "ab"] + [(0, "c", 1)],
        columns=["image", "expert", "label"],
    )
    found = find_consensus(as_votes(table, 3))
    assert found.labels[0] == 0
    assert found.disputed == [0]
    assert found.probability[0] == found.probability.min() > 0.9
    assert found.confusion["c"].sum() == pytest.approx(1)


@settings(max_examples=6)
@given(st.randoms(use_true_random=False), st.integers(2, 4), st.integers(2, 5))
def test_names_of_experts_and_order_of_classes_do_not_matter(random, classes, experts):
    rng = np.random.default_rng(random.randint(0, 10**6))
    votes, _ = simulate([confusion(max(classes, 3), 0.8, systematic=False)] * experts, 25, int(rng.integers(10**6)))
    table, names = votes.table, [f"e{number}" for number in range(experts)]
    found = find_consensus(votes)
    assert found.posterior.sum(axis=1) == pytest.approx(np.ones(25))
    renamed = dict(zip(names, rng.permutation(names), strict=True))
    other = table.assign(expert=table["expert"].map(renamed)).sort_values(["image", "expert"], ignore_index=True)
    again = find_consensus(as_votes(other, max(classes, 3)))
    np.testing.assert_allclose(again.posterior, found.posterior, atol=1e-6)
    turned = find_consensus(as_votes(table.assign(label=max(classes, 3) - 1 - table["label"]), max(classes, 3)))
    np.testing.assert_allclose(turned.posterior[:, ::-1], found.posterior, atol=1e-6)
