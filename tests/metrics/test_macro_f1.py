import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from monai.handlers import from_engine
from sklearn.metrics import f1_score

from fetal_monai.metrics import MacroF1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40), st.integers(1, 40))
def test_equals_scikit_learn_however_it_is_batched(pairs, batch):
    labels, predicted = zip(*pairs, strict=True)
    metric = MacroF1(4)
    for start in range(0, len(pairs), batch):
        scores = torch.eye(4)[list(predicted[start : start + batch])] * 3 - 1
        metric.update((scores, torch.tensor(labels[start : start + batch])))
    expected = f1_score(labels, predicted, labels=sorted(set(labels)), average="macro", zero_division=0)
    assert metric.compute() == pytest.approx(expected)


@pytest.mark.parametrize("decollated", [True, False])
def test_takes_what_monai_evaluators_give(decollated):
    scores, labels = torch.tensor([[0.0, 2], [3, 1], [0, 1]]), torch.tensor([1, 0, 0])
    output = {"pred": scores, "label": labels}
    if decollated:  # MONAI turns 0-d labels into Python integers
        output = [{"pred": s, "label": int(y)} for s, y in zip(scores, labels, strict=True)]
    engine = Engine(lambda _engine, batch: batch)
    MacroF1(2, output_transform=from_engine(["pred", "label"])).attach(engine, "macro_f1")
    assert engine.run([output]).metrics["macro_f1"] == pytest.approx(2 / 3)


def test_labels_with_a_channel_axis_and_a_second_epoch():
    metric = MacroF1(2)
    metric.update((torch.tensor([[0.0, 2]]), torch.tensor([[0]])))
    assert metric.compute() == 0
    metric.reset()
    with pytest.raises(NotComputableError):
        metric.compute()
