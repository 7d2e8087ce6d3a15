"""The first look at recipes: heads on frozen ImageNet features, cross-validated by patient, in seconds each.

    python benchmarks/frozen_features.py DATA --cache RUNS/features

Features of every image of train and val (test stays unseen) are computed once for each backbone and view, without
augmentation; heads are then trained on them with each loss. What differs here narrows the field for whole trainings;
what does not, such as augmentation, must be tried in those (benchmarks/accuracy.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from monai.bundle import ConfigParser
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from torch import nn

from fetal_monai.data import load_datalists
from fetal_monai.losses import LDAMFocalLoss, LogitAdjustedLoss, inverse_frequency_weights
from fetal_monai.networks import EfficientNetBackbone, load_imagenet
from fetal_monai.report.pictures import read_frame
from fetal_monai.transforms import DualResolutiond
from fetal_monai.utils.files import atomic_path

CLASSES = Path(__file__).resolve().parents[1] / "bundle/configs/datasets/fetal_planes.yaml"
BACKBONES = ("lite0", "lite1", "lite2")
VIEWS = ((128, 192), (160, 160), (160, 240), (224, 224), (192, 288), (256, 384))
STEPS, WEIGHT_DECAY, FOLDS, ENOUGH = 300, 1e-2, 5, 10

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES: dict[str, Callable[[list[int]], Loss]] = {
    "cross-entropy": lambda _: nn.CrossEntropyLoss(),
    "label smoothing": lambda _: nn.CrossEntropyLoss(label_smoothing=0.1),
    "square-root weights": lambda n: nn.CrossEntropyLoss(inverse_frequency_weights(n, power=0.5)),
    "square-root weights, label smoothing": lambda n: nn.CrossEntropyLoss(
        inverse_frequency_weights(n, power=0.5), label_smoothing=0.1
    ),
    "inverse frequency": lambda n: nn.CrossEntropyLoss(inverse_frequency_weights(n)),
    "balanced softmax": lambda n: LogitAdjustedLoss(n, tau=1.0),
    "LDAM-Focal, beta 0.9999 (the paper's)": lambda n: LDAMFocalLoss(n, beta=0.9999),
    "LDAM-Focal, beta 0": lambda n: LDAMFocalLoss(n, beta=0.0),
}


@torch.inference_mode()
def features(frames: list[torch.Tensor], backbone: str, view: tuple[int, int], cache: Path) -> torch.Tensor:
    """Pooled features (N, D) of all frames, from the cache where they are there."""
    path = cache / f"{backbone}_{view[0]}x{view[1]}.pt"
    if not path.exists():
        network = load_imagenet(EfficientNetBackbone(backbone)).eval()
        squash = DualResolutiond("image", view, None)
        found = [network(squash({"image": frame})["image"][None]).mean((2, 3))[0] for frame in frames]
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            torch.save(torch.stack(found), temporary)
    loaded: torch.Tensor = torch.load(path, weights_only=True)
    return loaded


def train_head(values: torch.Tensor, labels: torch.Tensor, loss: Loss, classes: int) -> nn.Linear:
    """A linear head, by Adam on all images at once."""
    torch.manual_seed(0)
    head = nn.Linear(values.shape[1], classes)
    optimizer = torch.optim.AdamW(head.parameters(), 1e-2, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(head(values), labels).backward()
        optimizer.step()
        schedule.step()
    return head


def cross_validate(
    values: torch.Tensor, labels: torch.Tensor, patients: list[str], make: Callable[[list[int]], Loss]
) -> NDArray[np.int64]:
    """Predicted class of each image by a head that has not seen its patient."""
    predicted = np.zeros(len(labels), dtype=np.int64)
    classes = int(labels.max()) + 1
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=1)
    for rest, held_out in splitter.split(labels, labels, patients):
        mean, std = values[rest].mean(0), values[rest].std(0) + 1e-6
        counts = torch.bincount(labels[rest], minlength=classes).clamp(min=1).tolist()
        head = train_head((values[rest] - mean) / std, labels[rest], make(counts), classes)
        predicted[held_out] = head((values[held_out] - mean) / std).argmax(1).numpy()
    return predicted


def main() -> None:
    """Compute what is missing, train heads, print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with DICOM and annotations.csv.")
    parser.add_argument("--cache", type=Path, required=True, help="Where features are kept.")
    arguments = parser.parse_args()
    names = ConfigParser.load_config_file(CLASSES)["class_names"]
    lists = load_datalists(arguments.data / "annotations.csv", arguments.data, names, splits=["train", "val"])
    items = lists["train"] + lists["val"]
    frames = [torch.from_numpy(read_frame(item["image"]).transpose(2, 0, 1).copy()) for item in items]
    labels, patients = torch.tensor([item["label"] for item in items]), [item["patient_id"] for item in items]
    common = np.flatnonzero(np.bincount(labels.numpy()) >= ENOUGH)

    def row(backbone: str, view: tuple[int, int], loss: str) -> str:
        predicted = cross_validate(features(frames, backbone, view, arguments.cache), labels, patients, LOSSES[loss])
        scores = f1_score(labels, predicted, average=None, labels=range(len(names)), zero_division=0)
        accuracy = float(np.mean(predicted == labels.numpy()))
        return f"{accuracy:.3f} | {scores.mean():.3f} | {scores[common].mean():.3f} |"

    head = f"accuracy | macro F1 | macro F1, classes with {ENOUGH} images |\n|---|---|---|---|"
    print(f"| loss (lite0, 192 x 288) | {head}")
    for loss in LOSSES:
        print(f"| {loss} | {row('lite0', (192, 288), loss)}", flush=True)
    print(f"\n| backbone, view (square-root weights, label smoothing) | {head}")
    for backbone, view in product(BACKBONES, VIEWS):
        print(f"| {backbone}, {view[0]} x {view[1]} | {row(backbone, view, 'square-root weights, label smoothing')}")


if __name__ == "__main__":
    main()
