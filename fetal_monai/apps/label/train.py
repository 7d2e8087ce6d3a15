"""Learning from submitted labels: MONAI Label's train task on the bundle."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow
from monailabel.interfaces.tasks.train import TrainTask
from sklearn.metrics import f1_score

from fetal_monai.apps.label.datastore import CSV_FILE, UltrasoundDatastore
from fetal_monai.apps.label.file_names import file_name
from fetal_monai.apps.label.image_sources import ImageFile
from fetal_monai.apps.label.labels import ImageLabels, to_csv
from fetal_monai.apps.label.versions import ModelVersions
from fetal_monai.dicom import FrameRef
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference import Predictor, ReadFailure
from fetal_monai.model.facts import ModelFacts, read_facts

OPTIONS: dict[str, Any] = {"max_epochs": 10, "learning_rate": 1e-4, "batch_size": 8, "cache_rate": 0.0, "seed": 42}
"""What a request may set, and what it is else."""

CLASS_COUNTS = "$[max(count, 1) for count in fetal_monai.data.class_counts(@train#dataset#data, @class_names)]"
"""Labelling begins with some classes still unseen; the losses' weights and margins take them as seen once."""

IMAGES = "images"
VIEWS = "DualResolutiond"
SWITCHES = ("dropout", "freeze_backbones", "average_flips")

logger = logging.getLogger(__name__)


class PlaneTrainTask(TrainTask):
    """Train the served model further on all final labels, by the bundle's `training`.

    Network, classes and preprocessing are the served model's own; loss, augmentation and optimizer are those of
    `bundle/configs/train.yaml` and of overlays. The new model is served instead of the former one if its macro F1 on
    the patients of the split `val` is higher or equal.

    Args:
        versions: the models.
        bundle: folder of the bundle.
        overlays: further config files, such as recipes.
    """

    def __init__(self, versions: ModelVersions, bundle: Path, overlays: Sequence[str] = ()) -> None:
        super().__init__("Train on the submitted labels; a model that is not worse replaces the served one")
        self.versions = versions
        self.bundle = bundle
        self.overlays = list(overlays)

    def config(self) -> dict[str, Any]:
        """List the options of a request."""
        return dict(OPTIONS)

    def stats(self) -> dict[str, Any]:
        """Tell the last training's result, as /info shows it."""
        history = self.versions.history()
        if not history:
            return {}
        last = history[-1]
        return {
            "served_version": self.versions.served(),
            "last_version": last.number,
            "val_macro_f1": last.val_macro_f1,
            "served_val_macro_f1": last.served_val_macro_f1,
            "promoted": last.promoted,
            "finished": last.finished,
        }

    def __call__(self, request: dict[str, Any], datastore: UltrasoundDatastore) -> dict[str, Any]:
        """Train.

        Args:
            request: may set any of `OPTIONS`.
            datastore: images and labels.

        Returns:
            What came of it: the new version's scores, and whether it is served.

        Raises:
            InputError: if an option is no number, or there are too few labels.
            FetalMonaiError: if the training fails for a reason that a user can mend.
        """
        options = read_options(request)
        labels = datastore.labels()
        counts = {split: sum(len(x.frames) for x in labels.values() if x.split == split) for split in ("train", "val")}
        problems = []
        if counts["train"] < 2:
            problems.append(f"{counts['train']} labelled images in train; label at least 2")
        if counts["val"] < 1:
            problems.append("no labelled image in val; label images of at least two patients")
        if problems:
            raise InputError("training", problems)
        number = self.versions.start()
        folder = self.versions.folder(number)
        data, images = folder / "data", {image_id: datastore.image(image_id) for image_id in labels}
        write_data(data, labels, images, datastore.class_names)
        served = self.versions.folder(self.versions.served())
        try:
            self._run(folder, data, served, options)
        finally:
            (folder / "last.pt").unlink(missing_ok=True)
            shutil.rmtree(data / IMAGES)
        val = [
            (FrameRef(images[image_id].path, frame), name)
            for image_id, item in labels.items()
            if item.split == "val"
            for frame, name in item.frames.items()
        ]
        version = self.versions.finish(
            number,
            score=macro_f1(folder, val),
            served_score=macro_f1(served, val),
            train_images=counts["train"],
            val_images=counts["val"],
        )
        outcome = "is served now" if version.promoted else f"is kept in {folder}, the former model stays"
        logger.info(
            "version %d: macro F1 %.4f on %d labels, the served model %.4f: it %s",
            number, version.val_macro_f1, counts["val"], version.served_val_macro_f1, outcome,
        )  # fmt: skip
        return self.stats()

    def _run(self, folder: Path, data: Path, served: Path, options: dict[str, Any]) -> None:
        flow = ConfigWorkflow(
            config_file=[str(self.bundle / "configs/train.yaml"), *self.overlays],
            workflow_type="train",
            run_id="training",
            logging_file=False,
            bundle_root=str(self.bundle),
            dataset_dir=str(data / IMAGES),
            annotations=str(data / CSV_FILE),
            ckpt_dir=str(folder),
            output_dir=str(folder / "log"),
            num_workers=0,
            overwrite=True,
            class_counts=CLASS_COUNTS,
            **model_overrides(read_facts(served), served),
            **options,
        )
        flow.initialize()
        flow.run()
        flow.finalize()


def read_options(request: dict[str, Any]) -> dict[str, Any]:
    """Take the options out of a request.

    Args:
        request: numbers, or text of numbers as some clients send.

    Returns:
        All of `OPTIONS`.

    Raises:
        InputError: if one is no number, or not positive.

    Example:
        >>> read_options({"max_epochs": "3", "model": "planes"})["max_epochs"]
        3
    """
    options: dict[str, Any] = {}
    problems = []
    for name, default in OPTIONS.items():
        value = request.get(name, default)
        try:
            options[name] = type(default)(value)
        except (TypeError, ValueError):
            problems.append(f"{name} is {value!r}; give a number such as {default}")
            continue
        if options[name] < 0 or (options[name] == 0 and name not in {"cache_rate", "seed"}):
            problems.append(f"{name} is {value!r}; give a positive number such as {default}")
    if problems:
        raise InputError("training", problems)
    return options


def model_overrides(facts: ModelFacts, folder: Path) -> dict[str, Any]:
    """Say in terms of `train.yaml` what a model folder knows: classes, network, preprocessing and weights.

    Args:
        facts: of the model.
        folder: its folder.

    Returns:
        Config ids and their values.
    """
    load = {
        "_target_": "LoadImaged",
        "keys": "image",
        "reader": {"_target_": "fetal_monai.dicom.UltrasoundReader"},
        "dtype": "$np.uint8",
        "expanduser": False,
    }
    views = [record for record in facts.preprocessing if record["_target_"].endswith(VIEWS)]
    # What the model leaves off, a recipe may switch on; what it has, it keeps. Auxiliary heads are weights, and those
    # are the model's own.
    off = {name: f"@{name}" for name in SWITCHES if not facts.network.get(name, True)}
    backbones = [value for value in facts.network.values() if isinstance(value, Mapping)]
    return {
        **{name: facts.network[name] for name in SWITCHES if facts.network.get(name)},
        "frozen_norm_stages": max((int(backbone.get("frozen_norm_stages", 0)) for backbone in backbones), default=0),
        "class_names": facts.class_names,
        "network_def": {**facts.network, **off},
        "preprocessing": [load, *(record for record in facts.preprocessing if record not in views)],
        "views": views,
        "pretrained": {
            "_target_": "fetal_monai.model.load_weights",
            "network": "@network_def",
            "folder": str(folder),
            "class_names": "@class_names",
        },
    }


def write_data(
    folder: Path, labels: dict[str, ImageLabels], images: dict[str, ImageFile], class_names: Sequence[str]
) -> None:
    """Lay out the labelled images as the bundle reads them: `annotations.csv`, and `images/` with links to the files.

    Args:
        folder: to be made.
        labels: by image id.
        images: the same images' files.
        class_names: the classes in order.
    """
    (folder / IMAGES).mkdir(parents=True)
    for image_id, image in images.items():
        link = folder / IMAGES / f"{file_name(image_id)}{'' if image.picture else '.dcm'}"
        link.symlink_to(Path(image.path).resolve())
    rows = {file_name(image_id) if images[image_id].picture else image_id: item for image_id, item in labels.items()}
    (folder / CSV_FILE).write_text(to_csv(rows, class_names), encoding="utf-8")


def macro_f1(folder: Path, items: Sequence[tuple[FrameRef, str]]) -> float:
    """Judge a model folder by labelled frames, as the bundle's key metric does: over the classes that occur.

    Args:
        folder: the model folder.
        items: frames and their classes.

    Returns:
        Macro F1 in [0, 1].

    Raises:
        FetalMonaiError: if a frame cannot be read.
    """
    predictions = []
    for found in Predictor(folder, throughput=True).predict([reference for reference, _ in items]):
        if isinstance(found, ReadFailure):
            raise FetalMonaiError(found.message)
        predictions.append(found.top)
    truth = [name for _, name in items]
    return float(f1_score(truth, predictions, labels=sorted(set(truth)), average="macro", zero_division=0))
