"""The MONAI Label app: which tasks, strategies and datastore there are."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from fetal_monai.apps.label.compatibility import prepare_monailabel

prepare_monailabel()

from fastapi import HTTPException  # noqa: E402
from monailabel.config import settings  # noqa: E402
from monailabel.interfaces.app import MONAILabelApp  # noqa: E402
from monailabel.interfaces.tasks.infer_v2 import InferTask  # noqa: E402
from monailabel.interfaces.tasks.strategy import Strategy  # noqa: E402
from monailabel.interfaces.tasks.train import TrainTask  # noqa: E402
from monailabel.tasks.activelearning.random import Random  # noqa: E402
from monailabel.utils.others.generic import md5_digest  # noqa: E402

import fetal_monai  # noqa: E402
from fetal_monai.apps.label.classify import PlaneInferTask, ServedPredictor  # noqa: E402
from fetal_monai.apps.label.datastore import UltrasoundDatastore  # noqa: E402
from fetal_monai.apps.label.image_sources import FolderSource, open_source  # noqa: E402
from fetal_monai.apps.label.key_frames import ClipKeyFrames  # noqa: E402
from fetal_monai.apps.label.strategies import (  # noqa: E402
    BranchDisagreement,
    DistanceToLabelled,
    KeyFrames,
    PredictiveEntropy,
)
from fetal_monai.apps.label.train import PlaneTrainTask  # noqa: E402
from fetal_monai.apps.label.versions import ModelVersions  # noqa: E402
from fetal_monai.dicomweb.credentials import Credentials  # noqa: E402
from fetal_monai.model.facts import NOTICE  # noqa: E402

MODEL = "fetal_planes"
"""The name in URLs: /infer/fetal_planes, /train/fetal_planes."""

NEEDS = {
    "disagreement": "it needs a network of two branches, such as DualBranchClassifier",
    "distance": "it needs a network with forward_features",
}
"""What strategies that may be missing ask of the network."""


class FetalPlanesApp(MONAILabelApp):
    """Labelling fetal ultrasound planes.

    Args:
        app_dir: the workspace: model versions, logs, and what was downloaded.
        studies: a folder, or the URL of a DICOMweb service.
        conf: `model`, the model folder to begin with; `bundle`, the bundle's folder; `overlays`, config files for
            training, one per line.

    Raises:
        FetalMonaiError: if there are no images, the model folder is incomplete, or labels do not fit the model's
            classes.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self._workspace = Path(app_dir)
        self.versions = ModelVersions(app_dir, conf["model"])
        self.served = ServedPredictor(self.versions)
        self.key_frames = ClipKeyFrames(self.served)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="fetal_planes",
            description="Planes of fetal ultrasound. " + NOTICE,
            version=fetal_monai.__version__,
            labels=list(self.served.class_names),
        )

    def init_datastore(self) -> UltrasoundDatastore:
        """Open the images; labels lie in `labels` of the folder, or of the workspace for an archive."""
        remote = self._workspace / "dicomweb" / md5_digest(self.studies.rstrip("/"))
        user = settings.MONAI_LABEL_DATASTORE_USERNAME or settings.MONAI_LABEL_DICOMWEB_USERNAME
        password = settings.MONAI_LABEL_DATASTORE_PASSWORD or settings.MONAI_LABEL_DICOMWEB_PASSWORD
        source = open_source(
            self.studies,
            remote / "dicom",
            credentials=Credentials(user, password) if user else None,
            qido_prefix=settings.MONAI_LABEL_QIDO_PREFIX,
            wado_prefix=settings.MONAI_LABEL_WADO_PREFIX,
        )
        home = source.folder if isinstance(source, FolderSource) else remote
        return UltrasoundDatastore(source, home / "labels", self.served.class_names)

    def init_infers(self) -> dict[str, InferTask]:
        """One task: classify a frame."""
        return {MODEL: PlaneInferTask(self.served)}

    def init_trainers(self) -> dict[str, TrainTask]:
        """One task: train on the labels."""
        overlays = [line for line in self.conf.get("overlays", "").splitlines() if line]
        return {MODEL: PlaneTrainTask(self.versions, Path(self.conf["bundle"]), overlays)}

    def init_strategies(self) -> dict[str, Strategy]:
        """Those that the network allows; the page begins with the first."""
        network = self.served.get()[1].network
        entropy = PredictiveEntropy(self.served)
        strategies: dict[str, Strategy] = {"key_frames": KeyFrames(self.key_frames, entropy), "entropy": entropy}
        if BranchDisagreement.fits(network):
            strategies["disagreement"] = BranchDisagreement(self.served)
        if DistanceToLabelled.fits(network):
            strategies["distance"] = DistanceToLabelled(self.served)
        return {**strategies, "random": Random()}

    def infer(self, request: dict[str, Any], datastore: Any = None) -> Any:
        """Classify an image of the datastore, or one that was sent with the request; no other file of this machine.

        Raises:
            HTTPException: 404 if there is no such image.
        """
        image = str(request.get("image", ""))
        sent = Path(image).parent == Path(tempfile.gettempdir()) and Path(image).is_file()
        path = image if sent else (datastore or self.datastore()).image(image).path
        return super().infer({**request, "image": path}, datastore)

    def batch_infer(self, request: dict[str, Any], datastore: Any = None) -> Any:
        """Classify many images, on the predictor's device: MONAI Label would divide by the number of GPUs."""
        return super().batch_infer({**request, "multi_gpu": False, "max_workers": 1}, datastore)

    def next_sample(self, request: dict[str, Any]) -> Any:
        """Choose the next image to label.

        Raises:
            HTTPException: 404 if there is no such strategy.
        """
        name = request.get("strategy")
        if name not in self._strategies:
            reason = f": {NEEDS[name]}, and the served model has none" if name in NEEDS else ""
            raise HTTPException(404, f"there is no strategy {name!r}{reason}; use one of {', '.join(self._strategies)}")
        return super().next_sample(request)
