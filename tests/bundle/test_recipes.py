"""Every recipe does what it says, in a training of the real configuration on DICOM."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
import yaml
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.data import DistributedWeightedRandomSampler

from fetal_monai.losses import effective_number_weights
from fetal_monai.model.folder import load_model

pytestmark = pytest.mark.thorough

RECIPES = (
    "recipes/auxiliary_heads.yaml",
    "recipes/backbone_learning_rate.yaml",
    "recipes/class_aware_sampling.yaml",
    "recipes/clip_gradients.yaml",
    "recipes/drw.yaml",
    "recipes/ema.yaml",
    "recipes/sharpness_aware.yaml",
    "recipes/warmup_cosine.yaml",
)


def test_recipes_work_together(start, tmp_path):
    """All at once, because each is one line that must not tread on the others."""
    flow = start(tmp_path, *RECIPES, drw_epoch=1, warmup_epochs=2, max_gradient_norm=0.1)
    get = flow.parser.get_parsed_content
    trainer, loss, network, optimizer = get("train#trainer"), get("loss"), get("network"), get("optimizer")
    seen = {"weights": [], "rates": [], "norms": [], "preds": []}

    @trainer.on(Events.ITERATION_COMPLETED)
    def watch(engine):
        seen["preds"].append(engine.state.output["pred"])
        seen["norms"].append(torch.cat([p.grad.flatten() for p in network.parameters()]).norm().item())

    @trainer.on(Events.EPOCH_STARTED)
    def watch_epoch(_):
        seen["rates"].append([group["lr"] for group in optimizer.param_groups])

    @trainer.on(Events.EPOCH_COMPLETED)
    def watch_weights(_):
        seen["weights"].append(loss.weight.clone())

    flow.run()
    counts = get("class_counts")
    assert torch.equal(seen["weights"][0], torch.ones(16))
    torch.testing.assert_close(seen["weights"][1], effective_number_weights(counts, 0.9999))
    assert seen["rates"][0] == pytest.approx([1e-6, 1e-5])
    assert seen["rates"][1] == pytest.approx([5.5e-6, 5.5e-5])
    assert max(seen["norms"]) <= 0.1 * (1 + 1e-4)
    assert all(len(pred) == 3 for pred in seen["preds"])
    average, _, _ = load_model(tmp_path / "model")  # the validated one is the average, not the trained one
    ema = get("ema").ema_model.state_dict()
    assert not torch.equal(ema["head.weight"], network.state_dict()["head.weight"])
    best = get("validate#evaluator").state.best_metric_epoch
    if best == 2:
        torch.testing.assert_close(average.state_dict()["head.weight"], ema["head.weight"])
    assert not torch.equal(average.state_dict()["head.weight"], network.state_dict()["head.weight"])
    last = torch.load(tmp_path / "model" / "last.pt", weights_only=True)
    torch.testing.assert_close(last["ema"]["head.weight"], ema["head.weight"])


def test_the_average_forgets_the_initial_weights_and_follows_the_statistics(start, tmp_path):
    """Against the average computed from its definition, in a training of eight iterations."""
    flow = start(tmp_path, "recipes/ema.yaml", learning_rate=0.01)
    get = flow.parser.get_parsed_content
    trainer, network, ema = get("train#trainer"), get("network"), get("ema")
    expected = {name: value.clone().double() for name, value in network.state_dict().items()}
    momenta = []

    @trainer.on(Events.ITERATION_COMPLETED)
    def average(engine):
        momentum = engine.state.ema_momentum
        momenta.append(momentum)
        for name, value in network.state_dict().items():
            expected[name] += momentum * (value.double() - expected[name])

    flow.run()
    assert momenta == pytest.approx([1 - 0.1 * index for index in range(8)])
    assert np.prod(1 - np.array(momenta)) == 0, "the share of the initial weights"
    assert np.prod(1 - np.array(momenta[1:])) < 0.01, "and of those after the first step"
    statistics = 0
    for name, value in ema.ema_model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-5)
            statistics += "running" in name
    assert statistics > 0


@pytest.mark.parametrize("epochs", [5, 12, 100])
def test_the_average_spans_a_tenth_of_the_training(start, tmp_path, epochs):
    """Measured on weights that stay: the average is put one away from them when the first tenth is over."""
    flow = start(
        tmp_path,
        "recipes/ema.yaml",
        max_epochs=epochs,
        network={"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1},
        initialize=[],
        **{"train#dataloader": "$list(range(42))"},
    )
    ema = flow.parser.get_parsed_content("ema")
    iterations = 42 * epochs
    trainer = Engine(lambda *_: None)
    ema.attach(trainer)
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED(once=iterations // 10), lambda: ema.ema_model.weight.data.add_(1)
    )
    trainer.run(range(42), max_epochs=epochs)
    share = (ema.ema_model.weight - ema.model.weight).item()
    assert share == pytest.approx(float(np.exp(-9)), rel=0.3)
    assert share < 0.01
    assert trainer.state.ema_momentum == pytest.approx(10 / iterations)


@pytest.mark.parametrize("recipe", ["mixup", "cutmix"])
def test_mixed_batches_have_soft_labels_and_one_view(recipe, start, tmp_path):
    flow = start(tmp_path, f"recipes/{recipe}.yaml", max_epochs=1)
    trainer = flow.parser.get_parsed_content("train#trainer")
    labels = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: labels.append(engine.state.output["label"]))
    flow.run()
    labels = torch.cat(labels)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(len(labels)))
    assert ((labels > 0).sum(dim=1) == 2).any()


def test_class_aware_sampling_draws_classes_alike(start, tmp_path):
    flow = start(tmp_path, "recipes/class_aware_sampling.yaml")
    get = flow.parser.get_parsed_content
    sampler, items = get("train#dataloader#sampler"), get("train#dataset#data")
    assert get("train#dataloader").sampler is sampler
    sampler.num_samples = 16_000
    torch.manual_seed(0)
    drawn = Counter(items[index]["label"] for index in sampler)
    assert set(drawn) == set(range(16))
    assert max(drawn.values()) < 1.2 * 1000  # 1000 expected, standard deviation 31
    assert min(drawn.values()) > 0.8 * 1000


@pytest.mark.parametrize("names", [("{}", "multi_gpu_train"), ("multi_gpu_train", "{}")], ids=["before", "after"])
def test_class_aware_sampling_of_several_processes(names, root, phantom):
    """The overlays may come in either order; each process draws from its own share."""
    parser = ConfigParser()
    names = ("train", *(name.format("recipes/class_aware_sampling") for name in names))
    parser.read_config([str(root / f"bundle/configs/{name}.yaml") for name in names])
    parser.update({"dataset_dir": str(phantom), "num_workers": 0})
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        loader = parser.get_parsed_content("train#dataloader")
    finally:
        torch.distributed.destroy_process_group()
    assert type(loader.sampler) is DistributedWeightedRandomSampler
    items = loader.dataset.data
    weights = torch.as_tensor(parser.get_parsed_content("sample_weights"))
    totals = torch.zeros(16).index_add_(0, torch.tensor([item["label"] for item in items]), weights)
    torch.testing.assert_close(totals, torch.ones(16), msg="each class weighs as much as another")
    shares = [
        list(DistributedWeightedRandomSampler(loader.dataset, weights, 4000, num_replicas=2, rank=rank))
        for rank in range(2)
    ]
    assert len(set(shares[0]) & set(shares[1])) <= 1  # an odd image goes to both
    assert {items[index]["label"] for index in shares[0] + shares[1]} == set(range(16))


def test_deferred_weights_come_in_a_short_training_too(start, tmp_path):
    one = {"train#trainer#epoch_length": 1, "validate#evaluator#epoch_length": 1}
    flow = start(tmp_path, "recipes/drw.yaml", max_epochs=5, **one)
    get = flow.parser.get_parsed_content
    weights = []
    get("train#trainer").add_event_handler(Events.EPOCH_COMPLETED, lambda: weights.append(get("loss").weight.clone()))
    flow.run()
    assert [bool((weight == 1).all()) for weight in weights] == [True, True, True, True, False]
    torch.testing.assert_close(weights[-1], effective_number_weights(get("class_counts"), 0.9999))


@pytest.mark.parametrize(("epochs", "equal"), [(1, 0), (2, 1), (12, 9), (100, 80)])
def test_the_last_epochs_never_have_equal_weights(root, epochs, equal):
    parser = ConfigParser()
    parser.read_config([str(root / f"bundle/configs/{name}.yaml") for name in ("train", "recipes/drw")])
    parser["max_epochs"] = epochs
    assert parser.get_parsed_content("drw_epoch") == equal


def test_the_quick_recipe_has_the_loss_of_square_roots(start, root, tmp_path):
    quick, overlay, default = (
        yaml.safe_load((root / f"bundle/configs/{name}.yaml").read_text())["loss"]
        for name in ("recipes/quick", "losses/square_root", "train")
    )
    assert quick == overlay
    assert default["_target_"] == "fetal_monai.losses.LDAMFocalLoss"
    get = start(tmp_path, "recipes/quick.yaml").parser.get_parsed_content
    loss, counts = get("loss"), np.array(get("class_counts"))
    assert loss.label_smoothing == 0.1
    expected = 16 * counts**-0.5 / (counts**-0.5).sum()
    np.testing.assert_allclose(loss.weight.cpu(), expected, rtol=1e-6)


def test_reference_recipe_builds(start, tmp_path):
    flow = start(tmp_path, "recipes/reference.yaml", "recipes/frozen_backbones.yaml", pretrained=None)
    get = flow.parser.get_parsed_content
    assert get("validate#evaluator").state.key_metric_name == "accuracy"
    loss = get("loss")
    assert (loss.scale, loss.gamma, loss.ldam_factor, loss.focal_factor) == (30, 1, 0.8, 0.8)
    assert loss.weight_in_exponent
    assert loss.margins.max() == 0.5
    torch.testing.assert_close(loss.weight, effective_number_weights(get("class_counts"), 0.9999))
    assert (get("max_epochs"), get("batch_size"), get("optimizer").defaults["lr"]) == (100, 4, 1e-4)
    assert not get("views")[0].antialias
    assert not any(p.requires_grad for p in get("network").backbone_detailed.parameters())
    assert flow.check_properties() == []
