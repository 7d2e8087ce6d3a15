"""How many labels does each strategy of active learning need?

    python benchmarks/active_learning.py DATA --cache RUNS/active.npz --out RUNS/active.json --picture RUNS/active.png

Two branches of frozen ImageNet features (EfficientNet-Lite0, one coarse and one fine view, computed once) and a linear
softmax head on both, fitted anew to all labels after each batch. The pool is the train split; F1 is measured on val and
test together, whose patients are others. In each repetition all strategies begin with the same random images.

Networks are not fine-tuned here, as they are in the app: features stay as they are, so that only the choice of images
counts. The target is a share of the F1 with all labels of the pool. Intervals are Student's, over the repetitions: they
tell what chance in the first images does, not what other patients would.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from monai.bundle import ConfigParser
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

from fetal_monai.data import load_datalists
from fetal_monai.metrics.acquisition import jensen_shannon_divergence, nearest_distances, predictive_entropy
from fetal_monai.networks import EfficientNetBackbone, load_imagenet
from fetal_monai.report.pictures import read_frame
from fetal_monai.transforms import DualResolutiond
from fetal_monai.utils.files import atomic_path

CLASSES = Path(__file__).resolve().parents[1] / "bundle/configs/datasets/fetal_planes.yaml"
VIEWS = ((128, 192), (192, 288))
START, BATCH, SHARE, COMMON, EARLY = 20, 20, 0.95, 10, 100
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # of the head's L2 penalty, inverted as scikit-learn has it
COLOURS = ("#808080", "#d55e00", "#0b3c5d", "#56b4e9", "#009e73")
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
MakeHead = Callable[[], LogisticRegression]


@torch.inference_mode()
def branch_features(items: list[dict[str, Any]], cache: Path) -> Floats:
    """Pooled features (2, N, D) of both views, from the cache if it is there."""
    if not cache.exists():
        network = load_imagenet(EfficientNetBackbone("lite0")).eval().to(memory_format=torch.channels_last)
        squash = [DualResolutiond("image", view, None) for view in VIEWS]
        rows = []
        for item in items:
            frame = torch.from_numpy(read_frame(item["image"]).transpose(2, 0, 1).copy())
            views = [view({"image": frame})["image"][None] for view in squash]
            rows.append(torch.stack([network(view).mean((2, 3))[0] for view in views]))
        cache.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(cache) as temporary, temporary.open("wb") as file:
            np.savez(file, features=torch.stack(rows, dim=1).numpy())
    found: Floats = np.load(cache)["features"]
    if found.shape[1] != len(items):
        raise SystemExit(f"{cache} holds {found.shape[1]} images, not {len(items)}: it is of other data; delete it")
    return found


@dataclass(frozen=True)
class Images:
    """Features of both views, (2, N, D), and labels (N,)."""

    views: Floats
    labels: Ints

    @cached_property
    def both(self) -> Floats:
        """What the head sees, (N, 2 D)."""
        return np.concatenate(list(self.views), axis=1)


@dataclass(frozen=True)
class State:
    """What a strategy may look at: no label but those of `labelled`."""

    pool: Images
    labelled: Ints
    head: LogisticRegression
    make_head: MakeHead
    rng: np.random.Generator


def at_random(state: State) -> Floats:
    """Score by chance."""
    return state.rng.random(len(state.pool.labels))


def by_entropy(state: State) -> Floats:
    """Score by uncertainty."""
    return predictive_entropy(state.head.predict_proba(state.pool.both))


def by_disagreement(state: State) -> Floats:
    """Score by what either view brings to the logits of the one head, as without auxiliary heads."""
    weights = np.split(state.head.coef_, 2, axis=1)
    logits = [view @ w.T + state.head.intercept_ / 2 for view, w in zip(state.pool.views, weights, strict=True)]
    return jensen_shannon_divergence(*(torch.tensor(each).double().softmax(dim=1).numpy() for each in logits))


def by_disagreement_of_heads(state: State) -> Floats:
    """Score by a head for each view, as with auxiliary heads."""
    known, labels = state.labelled, state.pool.labels
    heads = [state.make_head().fit(view[known], labels[known]) for view in state.pool.views]
    return jensen_shannon_divergence(
        *(head.predict_proba(view) for head, view in zip(heads, state.pool.views, strict=True))
    )


def best(score: Callable[[State], Floats], state: State, count: int) -> list[int]:
    """The unlabelled images with the highest scores."""
    scores = score(state)
    scores[state.labelled] = -np.inf
    return np.argsort(-scores, kind="stable")[:count].tolist()


def k_centre(features: Floats, labelled: Ints, count: int) -> list[int]:
    """Images that are farthest from all labelled and from each other, one after another."""
    distances, chosen = nearest_distances(features, features[labelled]), list[int]()
    distances[labelled] = -1  # never again, also where images are the same
    for _ in range(count):
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, nearest_distances(features, features[chosen[-1:]]))
        distances[chosen] = -1
    return chosen


STRATEGIES: dict[str, Callable[[State, int], list[int]]] = {
    "random": partial(best, at_random),
    "uncertainty": partial(best, by_entropy),
    "disagreement": partial(best, by_disagreement),
    "disagreement, own heads": partial(best, by_disagreement_of_heads),
    "distance": lambda state, count: k_centre(state.pool.both, state.labelled, count),
}


def learn(name: str, seed: int, pool: Images, held_out: Images, make_head: MakeHead) -> dict[str, list[Any]]:
    """One learning curve: macro F1, that of the common classes, and the labels of rare classes, after each batch."""
    rng = np.random.default_rng(seed)
    labelled = rng.permutation(len(pool.labels))[:START]
    curve: dict[str, list[Any]] = {"labels": [], "macro_f1": [], "macro_f1_common": [], "rare_found": []}
    seen, given, rare = pool.both, held_out.both, ~np.isin(pool.labels, common_classes(held_out))
    while True:
        head = make_head().fit(seen[labelled], pool.labels[labelled])
        predicted = head.predict(given)
        curve["labels"].append(len(labelled))
        curve["macro_f1"].append(score(held_out.labels, predicted, np.unique(held_out.labels)))
        curve["macro_f1_common"].append(score(held_out.labels, predicted, common_classes(held_out)))
        curve["rare_found"].append(int(rare[labelled].sum()))
        left = len(pool.labels) - len(labelled)
        if not left:
            return curve
        state = State(pool, labelled, head, make_head, rng)
        labelled = np.append(labelled, STRATEGIES[name](state, min(BATCH, left)))


def score(truth: Ints, predicted: Ints, classes: Ints) -> float:
    """Macro F1 over some classes."""
    return float(f1_score(truth, predicted, labels=classes, average="macro", zero_division=0))


def common_classes(images: Images) -> Ints:
    """Classes with enough images to judge."""
    return np.flatnonzero(np.bincount(images.labels) >= COMMON)


def summary(values: list[float]) -> dict[str, float]:
    """Mean and 95 % interval."""
    mean, error = float(np.mean(values)), float(stats.sem(values))
    reach = error * float(stats.t.ppf(0.975, len(values) - 1))
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def less(first: list[float], second: list[float]) -> list[float]:
    """Differences, repetition by repetition."""
    return [one - other for one, other in zip(first, second, strict=True)]


def summarise(curves: list[dict[str, list[Any]]], targets: dict[str, float]) -> dict[str, list[float]]:
    """What is compared, for each repetition: labels needed, area under the curve, rare images found early."""
    found: dict[str, list[float]] = {}
    for curve in curves:
        at = np.array(curve["labels"])
        for key, target in targets.items():
            reached = np.array(curve[key]) >= target
            found.setdefault(f"labels_to_{key}", []).append(float(at[reached.argmax()]))
            found.setdefault(f"area_{key}", []).append(float(np.trapezoid(curve[key], at) / (at[-1] - at[0])))
        found.setdefault("rare_early", []).append(float(np.array(curve["rare_found"])[at == EARLY][0]))
    return found


def draw(curves: dict[str, list[dict[str, list[Any]]]], targets: dict[str, float], path: Path) -> None:
    """Mean curves, with bands that hold their means with 95 % confidence."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    titles = {"macro_f1": "all classes", "macro_f1_common": f"classes with {COMMON} or more held-out images"}
    for axes, (key, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for (name, runs), colour in zip(curves.items(), COLOURS, strict=True):
            bands = [summary(list(values)) for values in zip(*(run[key] for run in runs), strict=True)]
            at = runs[0]["labels"]
            axes.plot(at, [band["mean"] for band in bands], color=colour, label=name)
            axes.fill_between(
                at, [band["low"] for band in bands], [band["high"] for band in bands], color=colour, alpha=0.2, lw=0
            )
        axes.axhline(targets[key], color="black", lw=0.8, ls=":", label=f"{SHARE:.0%} of that with all labels")
        axes.set(title=title, xlabel="labelled images", ylabel="macro F1", xlim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def main() -> None:
    """Repeat, print a table in Markdown, write figures and picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with DICOM and annotations.csv.")
    parser.add_argument("--cache", type=Path, required=True, help="File where features are kept.")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for all curves and what they say.")
    parser.add_argument("--picture", type=Path, required=True, help="PNG file for the learning curves.")
    parser.add_argument("--repetitions", type=int, default=20)
    arguments = parser.parse_args()
    names = ConfigParser.load_config_file(CLASSES)["class_names"]
    lists = load_datalists(arguments.data / "annotations.csv", arguments.data, names, splits=["train", "val", "test"])
    items = lists["train"] + lists["val"] + lists["test"]
    views, labels = branch_features(items, arguments.cache), np.array([item["label"] for item in items])
    size = len(lists["train"])
    views = (views - views[:, :size].mean(1, keepdims=True)) / (views[:, :size].std(1, keepdims=True) + 1e-6)
    pool, held_out = Images(views[:, :size], labels[:size]), Images(views[:, size:], labels[size:])

    patients = [item["patient_id"] for item in lists["train"]]
    folds = list(StratifiedGroupKFold(5, shuffle=True, random_state=0).split(pool.both, pool.labels, patients))

    def make(strength: float) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=1000, tol=1e-3)

    def quality(strength: float) -> float:
        scores = cross_val_score(make(strength), pool.both, pool.labels, cv=folds, scoring="f1_macro")
        return float(scores.mean())

    strength = max(STRENGTHS, key=quality)
    make_head = partial(make, strength)
    curves: dict[str, list[dict[str, list[Any]]]] = {name: [] for name in STRATEGIES}
    for seed in range(arguments.repetitions):
        for name, runs in curves.items():
            runs.append(learn(name, seed, pool, held_out, make_head))
        print(f"{seed + 1} of {arguments.repetitions}", flush=True)
    full = {key: curves["random"][0][key][-1] for key in ("macro_f1", "macro_f1_common")}
    targets = {key: SHARE * value for key, value in full.items()}
    results = {name: summarise(runs, targets) for name, runs in curves.items()}
    measures = list(results["random"])
    report: dict[str, Any] = {
        "setting": {"views": VIEWS, "pool": size, "held_out": len(held_out.labels), "inverse_penalty": strength}
        | {"start": START, "batch": BATCH, "share": SHARE, "repetitions": arguments.repetitions},
        "with_all_labels": full,
        "strategies": {
            name: {key: summary(found[key]) for key in measures}
            | {f"{key}_minus_random": summary(less(found[key], results["random"][key])) for key in measures}
            for name, found in results.items()
        },
        "curves": curves,
    }
    with atomic_path(arguments.out) as temporary:
        temporary.write_text(json.dumps(report, indent=1))
    draw(curves, targets, arguments.picture)
    print_table(report, measures)


def print_table(report: dict[str, Any], measures: list[str]) -> None:
    """One row a strategy: mean [interval], and the paired difference to random."""
    print(f"\nwith all labels: {report['with_all_labels']}; setting: {report['setting']}\n")
    print("| strategy | " + " | ".join(measures) + " |\n|" + "---|" * (len(measures) + 1))
    for name, found in report["strategies"].items():
        cells = []
        for key in measures:
            digits = 3 if key.startswith("area") else 0
            value, gain = found[key], found[f"{key}_minus_random"]
            cell = f"{value['mean']:.{digits}f} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"
            if name != "random":
                cell += f"; {gain['mean']:+.{digits}f} [{gain['low']:+.{digits}f}, {gain['high']:+.{digits}f}]"
            cells.append(cell)
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
