"""What is lost when hospitals train together without sharing images? Sites by scanner: federated, pooled, alone.

    python benchmarks/federated.py DATA RUNS --seeds 0 1

DATA holds DICOM and an annotations.csv with the column `device`. Each arm trains the same network from the same start
for the same number of epochs and is measured on the same test images: by the bundle's own command or, federated, by
NVFlare's simulator. What is in RUNS is not run again, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy import METRICS, bundle_command, in_words, write_table

from fetal_monai.dicom import FrameRef, index_dicom
from fetal_monai.federated.job import federated_averaging, write_global, write_start
from fetal_monai.inference import Predictor
from fetal_monai.metrics.bootstrap import bootstrap_intervals
from fetal_monai.metrics.compare import compare
from fetal_monai.metrics.prediction_table import Predictions

SITES = {"voluson_e6": ("Voluson E6",), "aloka": ("Aloka",), "other": ("Other", "Voluson S10")}
CONFIGS = ("networks/lite0.yaml", "recipes/best.yaml", "datasets/fetal_planes.yaml")
NORMS = "federated_local_norms.yaml"
POOLED, FEDERATED, LOCAL_NORMS = "pooled", "federated", "federated, local norms"


@dataclass(frozen=True)
class Study:
    """What all arms have in common."""

    data: Path
    runs: Path
    epochs: int
    seed: int

    @property
    def folder(self) -> Path:
        """Where this seed's arms are."""
        return self.runs / f"seed{self.seed}"

    @property
    def options(self) -> dict[str, object]:
        """A view small enough for one core; no weights of classes, which would have to be agreed upon."""
        return {
            "base_size": [125, 187],
            "detailed_size": [96, 144],
            "max_epochs": self.epochs,
            "seed": self.seed,
            "loss": {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.1},
        }

    def annotations(self, site: str | None = None) -> Path:
        """The table of a site, in a folder beside links to the images; of all without one."""
        if site is None:
            return self.data / "annotations.csv"
        folder = self.runs / "sites" / site
        if not (folder / "annotations.csv").exists():
            table = pd.read_csv(self.data / "annotations.csv", dtype=str)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "dicom").unlink(missing_ok=True)
            (folder / "dicom").symlink_to(self.data / "dicom")
            write_table(folder / "annotations.csv", table[table["device"].isin(SITES[site])])
        return folder / "annotations.csv"


def train_centrally(study: Study, out: Path, site: str | None) -> None:
    """One training on the images of one site, or of all."""
    options = {
        **study.options,
        "dataset_dir": study.data,
        "annotations": study.annotations(site),
        "ckpt_dir": out / "model",
        "output_dir": out / "eval",
        "overwrite": True,
    }
    with (out / "training.log").open("w") as log:
        command = bundle_command("training", ["train.yaml", *CONFIGS], options)
        subprocess.run(command, stdout=log, stderr=log, check=True)


def train_together(study: Study, out: Path, filters: list[str]) -> None:
    """One federation of all sites, in NVFlare's simulator: a process each, a round an epoch."""
    from nvflare.recipe.sim_env import SimEnv  # noqa: PLC0415

    start = write_start(out / "start", CONFIGS, options=study.options, seed=study.seed)
    places = {site: {"data": str(study.annotations(site).parent), "out": str(out / "sites" / site)} for site in SITES}
    settings = {"configs": CONFIGS, "filters": filters, "options": study.options}
    recipe = federated_averaging(start, settings, rounds=study.epochs, sites=places)
    recipe.execute(SimEnv(clients=list(SITES), workspace_root=str(out / "nvflare")))
    if not filters:
        (weights,) = (out / "nvflare").rglob("FL_global_model.pt")
        write_global(start, weights, out / "model")


def predict(study: Study, model: Path, site: str | None = None) -> Predictions:
    """What a model says of the test images of one site, or of all."""
    table = pd.read_csv(study.annotations(site), dtype=str)
    table = table[table["split"] == "test"]
    files = index_dicom(study.data)
    named = zip(table["SOPInstanceUID"], table["frame"], strict=True)
    frames = [FrameRef(files[uid].path, int(frame)) for uid, frame in named]
    predictor = Predictor(model, device="cpu")
    return Predictions(
        predictor.class_names,
        list(table["SOPInstanceUID"]),
        table["frame"].astype(int).to_numpy(),
        table["class"].map(predictor.class_names.index).to_numpy(),
        np.array([found.probabilities for found in predictor.predict(frames)]),
        patient_ids=list(table["patient_id"]),
    )


def arms(study: Study) -> dict[str, tuple[Callable[[Path], None], dict[str | None, str]]]:
    """Of each arm: how it trains into a folder, and which of its models sees whose test images."""
    return {
        POOLED: (lambda out: train_centrally(study, out, None), {None: "model"}),
        FEDERATED: (lambda out: train_together(study, out, []), {None: "model"}),
        LOCAL_NORMS: (lambda out: train_together(study, out, [NORMS]), {site: f"sites/{site}/model" for site in SITES}),
        **{
            f"{site} alone": (lambda out, site=site: train_centrally(study, out, site), {None: "model"})
            for site in SITES
        },
    }


def execute(study: Study, name: str) -> None:
    """Train an arm and keep its predictions, unless that was done."""
    train, models = arms(study)[name]
    out = study.folder / name.replace(", ", "_").replace(" ", "_")
    if (out / "predictions.csv").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    train(out)
    tables = [predict(study, out / model, site) for site, model in models.items()]
    (out / "seconds.json").write_text(json.dumps(round(time.monotonic() - started)))
    join(tables).write_csv(out / "predictions.csv")


def join(tables: list[Predictions], names: list[str] | None = None) -> Predictions:
    """One table of several; of several seeds the images count as further ones of the same patients."""
    marks = names or [""] * len(tables)
    return Predictions(
        tables[0].class_names,
        [uid + mark for table, mark in zip(tables, marks, strict=True) for uid in table.sop_instance_uids],
        np.concatenate([table.frames for table in tables]),
        np.concatenate([table.labels for table in tables]),
        np.concatenate([table.probabilities for table in tables]),
        patient_ids=[patient for table in tables for patient in table.patient_ids],
    )


def read(studies: list[Study], name: str) -> Predictions:
    """The predictions of an arm, of all seeds."""
    folder = name.replace(", ", "_").replace(" ", "_")
    tables = [Predictions.read_csv(study.folder / folder / "predictions.csv") for study in studies]
    return join(tables, [f" seed {study.seed}" for study in studies])


def print_table(studies: list[Study], names: list[str]) -> None:
    """Print Markdown: each arm with intervals by patient, and its difference to the pooled training."""
    pooled = read(studies, POOLED)
    print(f"\n| training | {' | '.join(METRICS.values())} | accuracy - pooled |\n|{'---|' * (len(METRICS) + 2)}")
    for name in names:
        table = read(studies, name)
        found = bootstrap_intervals(table).overall
        apart = "" if name == POOLED else in_words(compare(pooled, table).difference["accuracy"])
        print(f"| {name} | {' | '.join(in_words(found[metric]) for metric in METRICS)} | {apart} |")
    for name in names:
        each = [bootstrap_intervals(read([study], name)).overall["accuracy"].value for study in studies]
        print(f"\n{name}, accuracy seed by seed: {' '.join(f'{value:.3f}' for value in each)}")


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with DICOM and annotations.csv.")
    parser.add_argument("runs", type=Path, help="Folder for models and predictions.")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=10, help="Epochs of each training, and rounds of one epoch.")
    parser.add_argument("--arm", help="Run this one of the last seed alone; what a process of this script does.")
    given = parser.parse_args()
    studies = [Study(given.data.resolve(), given.runs.resolve(), given.epochs, seed) for seed in given.seeds]
    if given.arm:
        execute(studies[-1], given.arm)
        return
    names = list(arms(studies[0]))
    common = [str(given.data), str(given.runs), "--epochs", str(given.epochs)]
    for study in studies:
        for name in names:  # in a process of its own: NVFlare's simulator leaves threads behind
            command = [sys.executable, __file__, *common, "--seeds", str(study.seed), "--arm", name]
            subprocess.run(command, check=True)
    print_table(studies, names)


if __name__ == "__main__":
    main()
