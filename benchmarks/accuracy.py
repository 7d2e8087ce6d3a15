"""How good are the recipes? Named recipes x seeds on one data set, cross-validated by patient or on its test split.

    python benchmarks/accuracy.py DATA RUNS --recipes best reference --folds 5   # over train + val; test stays unseen
    python benchmarks/accuracy.py DATA RUNS --recipes best --seeds 0 1 2         # train on train, test on test
    python benchmarks/accuracy.py DATA RUNS --recipes best --devices             # train on one maker, test on another

Every training and evaluation is the bundle's own command, in a folder of its own; what is there is not run again,
so that an interrupted run goes on and a table over many recipes can be made from their runs. The last recipe is the one
that the others are compared with, on the same images, patients resampled in pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fetal_monai.data.splits import fold_tables, train_on
from fetal_monai.metrics.bootstrap import Interval, bootstrap_intervals
from fetal_monai.metrics.compare import compare
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.metrics.selective import risk_coverage
from fetal_monai.utils.files import atomic_path

CONFIGS = Path(__file__).resolve().parents[1] / "bundle" / "configs"
DATASET = "datasets/fetal_planes.yaml"
FOLD_SEED = 1  # the folds are the same for every recipe and seed
DEVICES = ("Voluson", "Aloka")
CLASSES_OF_BOTH_DEVICES = [
    "Abdomen",
    "Femur",
    "Thorax",
    "Head (trans-thalamic)",
    "Head (trans-ventricular)",
    "Head (trans-cerebellum)",
]
METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "macro_f1_of_classes_with_10_images": "macro F1, classes with 10 images",
    "nll": "mean negative log-likelihood",
}


@dataclass(frozen=True)
class Recipe:
    """Overlays after train.yaml, and options; how a table calls them."""

    overlays: tuple[str, ...]
    options: dict[str, object] = field(default_factory=dict)


LITE = {"pretrained": {"_target_": "fetal_monai.networks.load_imagenet", "network": "@network_def"}}
RECIPES = {
    "best": Recipe(("networks/lite0.yaml", "recipes/best.yaml")),
    "sharpness_aware": Recipe(("networks/lite0.yaml", "recipes/best.yaml", "recipes/sharpness_aware.yaml")),
    # The pixels of both views together are those of the single one.
    "two_views": Recipe(
        ("networks/lite0_lite0.yaml", "recipes/best.yaml"),
        {"base_size": [250, 374], "shallow_size": [112, 168], "detailed_size": [160, 240]},
    ),
    "reference": Recipe(("networks/lite0.yaml", "recipes/reference.yaml"), {"max_epochs": 12, **LITE}),
}


@dataclass(frozen=True)
class Run:
    """One training and its evaluation."""

    recipe: str
    seed: int
    part: str  # "fold0" ..., or "test"
    folder: Path

    @property
    def predictions(self) -> Path:
        """Where the evaluation leaves its table."""
        return self.folder / "evaluation" / "predictions.csv"


def device_tables(annotations: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each maker's images of train and val as `test`, the other's for training; classes that both have."""
    known = annotations[(annotations["split"] != "test") & annotations["class"].isin(CLASSES_OF_BOTH_DEVICES)]
    table = known[known["device"].str.startswith(DEVICES)].reset_index(drop=True)
    for seen, new in (DEVICES, DEVICES[::-1]):
        yield f"{seen}_to_{new}", train_on(np.flatnonzero(table["device"].str.startswith(seen)), table, seed=FOLD_SEED)


def fold_parts(data: Path, runs: Path, folds: int) -> dict[str, Path]:
    """The annotation tables of the folds, written once."""
    tables = fold_tables(pd.read_csv(data / "annotations.csv", dtype=str), folds, seed=FOLD_SEED)
    return {
        f"fold{index}of{folds}": write_table(runs / f"annotations_{folds}folds_{index}.csv", table)
        for index, table in enumerate(tables)
    }


def device_parts(data: Path, runs: Path) -> dict[str, Path]:
    """The annotation tables from one maker's devices to another's, written once."""
    tables = device_tables(pd.read_csv(data / "annotations.csv", dtype=str))
    return {name: write_table(runs / f"annotations_{name}.csv", table) for name, table in tables}


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)
    return path


def command(run: Run, verb: str, data: Path, annotations: Path) -> list[str]:
    """The bundle's own command line."""
    recipe = RECIPES[run.recipe]
    overlays = ["train.yaml", *recipe.overlays, DATASET, *(["evaluate.yaml"] if verb == "evaluating" else [])]
    options = {
        "dataset_dir": data,
        "annotations": annotations,
        "ckpt_dir": run.folder / "model",
        "output_dir": run.folder / "evaluation",
        "seed": run.seed,
        **recipe.options,
    }
    if run.part.endswith(DEVICES):
        options["class_names"] = CLASSES_OF_BOTH_DEVICES
    if verb == "training":
        options["overwrite"] = True
    return bundle_command(verb, overlays, options)


def bundle_command(verb: str, overlays: Sequence[str], options: Mapping[str, object]) -> list[str]:
    """The command line of a run id of the bundle's configs."""
    files = "[" + ",".join(f"'{CONFIGS / name}'" for name in overlays) + "]"
    return [
        *(sys.executable, "-m", "monai.bundle", "run", verb, "--config_file", files),
        *(part for name, value in options.items() for part in (f"--{name}", str(value))),
    ]


def execute(run: Run, data: Path, annotations: Path, threads: int) -> None:
    """Train and evaluate, unless that was done."""
    if run.predictions.exists():
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    started = time.monotonic()
    for verb in ("training", "evaluating"):
        with (run.folder / f"{verb}.log").open("w") as log:
            done = subprocess.run(
                command(run, verb, data, annotations), stdout=log, stderr=log, env=environment, check=False
            )
        if done.returncode:
            sys.exit(f"{run.folder}/{verb}.log: {verb} ended with status {done.returncode}")
        if verb == "training":
            (run.folder / "seconds.json").write_text(json.dumps(round(time.monotonic() - started)))
    print(f"{run.recipe} seed {run.seed} {run.part}: {time.monotonic() - started:.0f} s", flush=True)


def side_by_side(jobs: int, tasks: Sequence[Callable[[], None]]) -> None:
    """Run tasks, so many at a time; after a failure, or Ctrl-C, begin none."""
    pool = ThreadPoolExecutor(jobs)
    try:
        for each in [pool.submit(task) for task in tasks]:
            each.result()
    finally:
        pool.shutdown(cancel_futures=True)


def pooled(runs: Sequence[Run]) -> Predictions:
    """The predictions of all runs; those of several seeds on one image count as images of the same patient."""
    tables = [Predictions.read_csv(run.predictions) for run in runs]
    return Predictions(
        tables[0].class_names,
        [f"{uid} seed {run.seed}" for run, table in zip(runs, tables, strict=True) for uid in table.sop_instance_uids],
        np.concatenate([table.frames for table in tables]),
        np.concatenate([table.labels for table in tables]),
        np.concatenate([table.probabilities for table in tables]),
        patient_ids=[patient for table in tables for patient in table.patient_ids],
    )


def in_words(interval: Interval) -> str:
    """A value with its interval."""
    if interval.low is None or interval.high is None:
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def print_table(recipes: Sequence[str], runs: Sequence[Run]) -> None:
    """Print Markdown: each recipe's metrics with intervals by patient, and its difference to the last recipe."""
    tables = {name: pooled([run for run in runs if run.recipe == name]) for name in recipes}
    names = list(METRICS)
    print(f"\n| recipe | {' | '.join(METRICS.values())} | AURC | minutes |\n|{'---|' * (len(names) + 3)}")
    for name, table in tables.items():
        found = bootstrap_intervals(table).overall
        minutes = [json.loads((run.folder / "seconds.json").read_text()) / 60 for run in runs if run.recipe == name]
        area = risk_coverage(table.confidence, table.predicted == table.labels).area
        values = " | ".join(in_words(found[m]) for m in names)
        print(f"| {name} | {values} | {area:.4f} | {np.median(minutes):.0f} |")
    seeds = sorted({run.seed for run in runs})
    for name in recipes if len(seeds) > 1 else ():
        each = [pooled([run for run in runs if (run.recipe, run.seed) == (name, seed)]) for seed in seeds]
        found_in = [bootstrap_intervals(one).overall for one in each]
        shown = (f"{label} {' '.join(f'{one[key].value:.3f}' for one in found_in)}" for key, label in METRICS.items())
        print(f"\n{name}, seed by seed: {'; '.join(shown)}")
    for name in recipes[:-1]:
        difference = compare(tables[recipes[-1]], tables[name]).difference
        print(f"\n{name} - {recipes[-1]}: " + "; ".join(f"{METRICS[m]} {in_words(difference[m])}" for m in names))


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with DICOM and annotations.csv.")
    parser.add_argument("runs", type=Path, help="Folder for models and evaluations.")
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=["best", "reference"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--folds", type=int, default=0, help="Cross-validate train + val; 0 measures on test.")
    parser.add_argument("--devices", action="store_true", help="Train on one maker's devices, measure on another's.")
    parser.add_argument("--jobs", type=int, default=1, help="Trainings side by side, each on its share of the cores.")
    arguments = parser.parse_args()
    data, folder = arguments.data.resolve(), arguments.runs.resolve()
    parts = {"test": data / "annotations.csv"}
    if arguments.folds:
        parts = fold_parts(data, folder, arguments.folds)
    elif arguments.devices:
        parts = device_parts(data, folder)
    runs = [
        Run(recipe, seed, part, folder / recipe / f"seed{seed}" / part)
        for recipe in arguments.recipes
        for seed in arguments.seeds
        for part in parts
    ]
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    side_by_side(arguments.jobs, [partial(execute, run, data, parts[run.part], threads) for run in runs])
    print_table(arguments.recipes, runs)


if __name__ == "__main__":
    main()
