"""Does a model notice images that are no fetal planes? AUROC of the Mahalanobis distance and of the energy.

    python benchmarks/out_of_distribution.py MODEL_DIR DATASET_DIR --other PHANTOM_DIR

Planes: the test split of DATASET_DIR. Others: the phantom's stills, uniform noise, the planes' own pixels shuffled, and
real ultrasound of other organs from pydicom's test files.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pydicom.data
import torch

from fetal_monai.data import list_frames, load_datalists
from fetal_monai.dicom import FrameRef, UltrasoundReader
from fetal_monai.inference.views import loaded_image, prepare
from fetal_monai.metrics.ood import Mahalanobis, detection_metrics, energy_score, outlier_threshold
from fetal_monai.model.folder import load_model

ECHO = "examples_ybr_color.dcm"  # a real cardiac clip of 30 frames
MOST = 150


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("dataset_dir", type=Path)
    parser.add_argument("--other", type=Path, help="A folder of DICOM that are no planes, such as a phantom.")
    arguments = parser.parse_args()
    network, preprocessing, facts = load_model(arguments.model_dir)
    reader = UltrasoundReader()
    lists = load_datalists(arguments.dataset_dir / "annotations.csv", arguments.dataset_dir, facts.class_names)

    @torch.inference_mode()
    def look(images: Iterable[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        features, logits = [], []
        for image in images:
            views = prepare(preprocessing, image)
            features.append(network.forward_features(*(view[None] for view in views.values()))[0])
            logits.append(network.head(features[-1]))
        return torch.stack(features).numpy(), torch.stack(logits).numpy()

    def read(frame: FrameRef) -> torch.Tensor:
        return loaded_image(*reader.get_data(frame))

    def split(name: str) -> Iterator[torch.Tensor]:
        return (read(item["image"]) for item in lists[name])

    train, _ = look(split("train"))
    model = Mahalanobis.fit(train, [item["label"] for item in lists["train"]])
    val_features, val_logits = look(split("val"))
    test_features, test_logits = look(split("test"))
    limits = outlier_threshold(model.score(val_features)), outlier_threshold(energy_score(val_logits))
    inside = model.score(test_features), energy_score(test_logits)
    rng = np.random.default_rng(0)
    stills = (
        [item["image"] for item in list_frames(arguments.other)][:: max(1, 1000 // MOST)] if arguments.other else []
    )
    clip = str(pydicom.data.get_testdata_file(ECHO))
    others = {
        "phantom": (read(ref) for ref in stills[:MOST]),
        "cardiac clip": (read(FrameRef(clip, frame)) for frame in range(30)),
        "noise": (torch.from_numpy(rng.integers(0, 256, (3, 400, 533), dtype=np.uint8)) for _ in range(60)),
        "planes, pixels shuffled": (shuffled(image, rng) for image in itertools.islice(split("test"), 60)),
    }
    print("| images of another kind | n | Mahalanobis AUROC | flagged | energy AUROC | flagged |")
    print("|---|---|---|---|---|---|")
    flagged = [f"{(score > limit).mean():.0%}" for score, limit in zip(inside, limits, strict=True)]
    print(f"| (test planes themselves) | {len(inside[0])} | | {flagged[0]} | | {flagged[1]} |")
    for name, images in others.items():
        features, logits = look(images)
        cells = []
        for score, reference, limit in zip((model.score(features), energy_score(logits)), inside, limits, strict=True):
            cells.append(f"{detection_metrics(reference, score)['auroc']:.3f} | {(score > limit).mean():.0%}")
        print(f"| {name} | {len(features)} | {' | '.join(cells)} |")


def shuffled(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The same pixels in random order."""
    order = torch.from_numpy(rng.permutation(image.shape[1] * image.shape[2]))
    return image.flatten(1)[:, order].reshape(image.shape)


if __name__ == "__main__":
    main()
