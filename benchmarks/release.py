"""Make the model that travels with the package: trained on every image, its decisions fitted on images held out.

    python benchmarks/release.py DATA RUNS fetal_monai/released/fetal_planes

A model that has seen every image has none left to be calibrated on. So the recipe is trained on folds first
(benchmarks/accuracy.py, whose runs in RUNS are used where they are there): each image of train and val is then judged
once by a model that has not seen its patient. Calibration, abstention, conformal sets and the threshold of the
out-of-distribution score are fitted on those judgements; the score itself, on the features of the released network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy import DATASET, RECIPES, Run, bundle_command, execute, fold_parts, side_by_side
from monai.transforms import Compose
from numpy.typing import NDArray

from fetal_monai.data import load_datalists
from fetal_monai.dicom import FrameRef, open_image
from fetal_monai.inference.views import Views, loaded_image, metadata_for, prepare
from fetal_monai.metrics.conformal import fit_conformal_sets
from fetal_monai.metrics.ood import Mahalanobis, outlier_threshold
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.metrics.selective import abstention_threshold
from fetal_monai.model.calibration import fit_calibration
from fetal_monai.model.decisions import Decisions
from fetal_monai.model.folder import WEIGHTS_FILE, load_model
from fetal_monai.model.release_writer import write_release

FOLDS = 4
BATCH = 8
RECIPE = "sharpness_aware"
ALL_IMAGES = "recipes/all_images.yaml"
CARD = Path(__file__).resolve().parents[1] / "docs" / "released_model.md"
Items = list[dict[str, Any]]


@torch.inference_mode()
def look(model_dir: Path, items: Items) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Uncalibrated probabilities (N, C) and the features that the head sees (N, D) of labelled frames."""
    network, preprocessing, _ = load_model(model_dir)
    network.to(memory_format=torch.channels_last)  # half of the time on a CPU
    features = []
    for start in range(0, len(items), BATCH):
        views = [views_of(item["image"], preprocessing) for item in items[start : start + BATCH]]
        given = [torch.stack([view[name] for view in views]) for name in ("image", "image_shallow") if name in views[0]]
        features.append(network.forward_features(*given))  # type: ignore[operator]
    stacked = torch.cat(features)
    return network.head(stacked).double().softmax(1).numpy(), stacked.double().numpy()  # type: ignore[operator]


def views_of(reference: FrameRef, preprocessing: Compose) -> Views:
    """What the network sees of a frame, as `Predictor` shows it: regions that its file declares count."""
    with open_image(reference.path) as instance:
        pixels, meta = instance.frame(reference.frame), instance.metadata(reference.frame)
    return prepare(preprocessing, loaded_image(torch.from_numpy(pixels), metadata_for(preprocessing, meta)))


def labels_of(items: Items) -> NDArray[np.int64]:
    """The class index of each item."""
    return np.array([item["label"] for item in items])


def held_out(data: Path, folds: dict[Run, Path]) -> tuple[Predictions, NDArray[np.float64]]:
    """Each image of train and val as a model sees it that does not know its patient: probabilities, outlier scores."""
    everything: Items = []
    probabilities, scores = [], []
    names: list[str] = []
    for run, labels in folds.items():
        names = load_model(run.folder / "model")[2].class_names
        lists = load_datalists(labels, data, names, splits=["train", "test"])
        distance = Mahalanobis.fit(look(run.folder / "model", lists["train"])[1], labels_of(lists["train"]))
        judged, features = look(run.folder / "model", lists["test"])
        probabilities.append(judged)
        scores.append(distance.score(features))
        everything += lists["test"]
    table = Predictions(
        names,
        [item["SOPInstanceUID"] for item in everything],
        [item["frame"] for item in everything],
        labels_of(everything),
        np.concatenate(probabilities),
        patient_ids=[item["patient_id"] for item in everything],
    )
    return table, np.concatenate(scores)


def train_on_all(data: Path, folder: Path, seed: int, threads: int) -> None:
    """The recipe on all splits together, unless that was done."""
    done = folder.parent / "seconds.json"
    if done.exists():
        return
    started = time.monotonic()
    overlays = ["train.yaml", *RECIPES[RECIPE].overlays, DATASET, ALL_IMAGES]
    options = {"dataset_dir": data, "ckpt_dir": folder, "output_dir": folder / "log", "seed": seed, "overwrite": True}
    subprocess.run(
        bundle_command("training", overlays, options),
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        check=True,
    )
    done.write_text(json.dumps(round(time.monotonic() - started)))


def without_title(page: str) -> str:
    """A page as part of another, which has a title of its own."""
    return page.partition("\n\n")[2] if page.startswith("# ") else page


def main() -> None:
    """Train what is missing, fit, and write the release."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with DICOM and annotations.csv.")
    parser.add_argument("runs", type=Path, help="Folder for models and evaluations.")
    parser.add_argument("out", type=Path, help="The released model's folder.")
    parser.add_argument("--version", default="1.2")
    parser.add_argument("--card", type=Path, default=CARD, help="Markdown for its README: figures, limits.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="Trainings side by side, each on its share of the cores.")
    arguments = parser.parse_args()
    if arguments.out.exists() and any(arguments.out.iterdir()):
        parser.error(f"{arguments.out} is not empty: remove what is there, or name another folder")  # before the hours
    data, runs = arguments.data.resolve(), arguments.runs.resolve()
    folder = runs / RECIPE / f"seed{arguments.seed}"
    model_dir = folder / "all" / "model"
    folds = {
        Run(RECIPE, arguments.seed, part, folder / part): labels
        for part, labels in fold_parts(data, runs, FOLDS).items()
    }
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    side_by_side(
        arguments.jobs,
        [
            partial(train_on_all, data, model_dir, arguments.seed, threads),
            *(partial(execute, run, data, labels, threads) for run, labels in folds.items()),
        ],
    )
    judged, scores = held_out(data, folds)
    facts = load_model(model_dir)[2]
    lists = load_datalists(data / "annotations.csv", data, facts.class_names)
    images = [item for split in lists.values() for item in split]
    calibration = fit_calibration(judged, "temperature")
    calibrated = calibration.apply(judged)
    decisions = Decisions(
        calibration,
        abstention_threshold(calibrated),
        fit_conformal_sets(calibrated),
        Mahalanobis.fit(look(model_dir, images)[1], labels_of(images)),
        outlier_threshold(scores),
    )
    decisions.write(model_dir, hashlib.sha256((model_dir / WEIGHTS_FILE).read_bytes()).hexdigest())
    write_release(model_dir, arguments.out, version=arguments.version, card=without_title(arguments.card.read_text()))
    print(f"{arguments.out}: trained on {len(images)} images; decisions from {len(judged)} held-out ones")


if __name__ == "__main__":
    main()
