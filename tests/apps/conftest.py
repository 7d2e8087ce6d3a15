"""What the tests of the workplaces share: a tiny model, studies, and servers that always end."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser
from pydicom import dcmread
from pydicom.data import get_testdata_file

from deploying import ENVIRONMENT, SDK
from fetal_monai.model.description import describe_model
from fetal_monai.model.facts import write_facts
from fetal_monai.utils.files import atomic_path
from orthanc import configure
from untrained import spread_logits

ORTHANC_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PATIENCE_S = 180
NEVER = "Cervix"
"""The class that the untrained model always names; no labelled image of the tests shows it."""


@pytest.fixture(scope="session")
def label_model(root: Path, tiny_network: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a tiny network that has learnt nothing and always says `NEVER`, with varying confidence."""
    overlay = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    overlay.write_text(tiny_network)
    parser = ConfigParser()
    parser.read_config([str(root / "bundle/configs/train.yaml"), str(overlay)])
    parser["bundle_root"] = str(root / "bundle")
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def")
    names = parser.get_parsed_content("class_names")
    for module in network.modules():  # fresh batch norms give nearly the same output for every image
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.2, 0.6)
    spread_logits(network)
    with torch.no_grad():
        network.head.bias[names.index(NEVER)] = 9.0
    facts = describe_model(network, parser.get_parsed_content("validate#preprocessing"), names)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    with atomic_path(folder / "model.pt") as temporary:
        torch.save(network.state_dict(), temporary)
    write_facts(folder, facts)
    return folder


@dataclass
class Studies:
    """A folder of phantom files, and what is true of them."""

    folder: Path
    dicom: dict[str, Path]
    labels: pd.DataFrame
    picture: str

    @property
    def stills(self) -> list[str]:
        return [uid for uid in self.dicom if self.labels.loc[uid, "frame"] == -1]

    @property
    def clips(self) -> list[str]:
        return [uid for uid in self.dicom if self.labels.loc[uid, "frame"] != -1]

    def truth(self, uid: str) -> tuple[int, str]:
        return int(self.labels.loc[uid, "frame"]), str(self.labels.loc[uid, "class"])

    def frames(self, path: str) -> int:
        return 1 if path.endswith(".png") else int(dcmread(path, stop_before_pixels=True).get("NumberOfFrames", 1))


@pytest.fixture(scope="module")
def label_studies(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Studies:
    """Eighteen stills and two clips of several patients, one PNG, and a CT that has no business there."""
    folder = tmp_path_factory.mktemp("studies")
    labels = pd.read_csv(phantom / "annotations.csv", dtype={"SOPInstanceUID": str}).set_index("SOPInstanceUID")
    useful = labels[labels["class"] != NEVER]
    stills = useful[useful["frame"] == -1].groupby("patient_id").head(3)[:18]
    clips = useful[useful["frame"] > 3][:2]
    dicom: dict[str, Path] = {}
    for uid in [*stills.index, *clips.index]:
        dicom[uid] = Path(shutil.copy(phantom / "dicom" / f"{uid}.dcm", folder))
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "ct.dcm")
    (folder / "pictures").mkdir()
    picture = "pictures/still life.png"
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / picture), cv2.GaussianBlur(pixels, (0, 0), 5))
    return Studies(folder, dicom, labels, picture)


@dataclass
class Server:
    """A server process that runs."""

    url: str
    log: Path
    workspace: Path = Path()
    remote: bool = False

    def explain(self, answer: Any) -> str:
        return f"{answer.status_code} {answer.text[:2000]}\n--- the server's log ends:\n{self.log.read_text()[-4000:]}"


@contextlib.contextmanager
def process(command: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with its children, and end them all, whatever happens."""
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **options)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)  # as Ctrl-C does: it ends in order, and coverage is written
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(timeout=30)


def wait_for(child: subprocess.Popen[bytes], log: Path, ready: Callable[[], Any]) -> Any:
    """Poll until something is ready; fail with the log if the process ends or takes too long."""
    end = time.monotonic() + PATIENCE_S
    while not (found := ready()):
        if child.poll() is not None or time.monotonic() > end:
            state = "took too long" if child.poll() is None else f"ended with status {child.returncode}"
            pytest.fail(f"{child.args} {state}:\n{log.read_text()[-6000:]}")
        time.sleep(0.2)
    return found


@pytest.fixture(scope="session")
def label_server(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Start `fetal-monai label` outside the checkout, as a context manager."""

    @contextlib.contextmanager
    def start(*arguments: object) -> Iterator[Server]:
        log = tmp_path_factory.mktemp("server") / "log.txt"
        command = [sys.executable, "-m", "fetal_monai", "label", *map(str, arguments)]
        with process(command, log, cwd=log.parent, env={**os.environ, "OMP_NUM_THREADS": "1"}) as child:
            marker = "Labelling page: "

            def ready() -> str | None:
                text = log.read_text()
                return text.split(marker)[1].split()[0] if marker in text and "startup complete" in text else None

            url = wait_for(child, log, ready)
            yield Server(url.removesuffix("/labelling/"), log)

    return start


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[list[Path]], str]]:
    """A real archive: give it files, get the URL of its DICOMweb service."""
    program = shutil.which("Orthanc")
    if program is None:
        pytest.skip("orthanc is not installed")
    if not ORTHANC_DICOMWEB.exists():
        pytest.skip("orthanc-dicomweb is not installed")
    requests = pytest.importorskip("requests")
    folder = tmp_path_factory.mktemp("orthanc")
    plugin = {"Plugins": [str(ORTHANC_DICOMWEB)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}
    config, url = configure(folder, **plugin)
    log = folder / "log.txt"

    def answers() -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"{url}/system", timeout=10).ok
        return False

    def store(files: list[Path]) -> str:
        for path in files:
            requests.post(f"{url}/instances", data=path.read_bytes(), timeout=60).raise_for_status()
        return f"{url}/dicom-web"

    with process([program, str(config)], log) as child:
        wait_for(child, log, answers)
        yield store


@pytest.fixture(scope="session")
def deploy_python(root: Path) -> str:
    """An interpreter that has the SDK: this one, or that of `make deploy`."""
    if any(found.name == SDK for found in importlib.metadata.distributions(name=SDK)):
        return sys.executable
    python = root / ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{SDK} is not installed; `make deploy` installs it")
    return str(python)


def _as_raw_data(source: Path, target: Path) -> None:
    """An instance of an ultrasound series that is no image, as scanners send along."""
    data = dcmread(source)
    for keyword in ("PixelData", "Rows", "Columns", "NumberOfFrames"):
        if keyword in data:
            del data[keyword]
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    data.save_as(target)


@pytest.fixture(scope="session")
def studies(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """Two patients' stills and clips among what else lies on a disc; and the files that can be read, in order."""
    folder = tmp_path_factory.mktemp("deploy_studies")
    labels = pd.read_csv(phantom / "annotations.csv", dtype={"SOPInstanceUID": str})
    files = labels.assign(path=[phantom / "dicom" / f"{uid}.dcm" for uid in labels["SOPInstanceUID"]])
    clips = files[files["frame"] != -1].groupby("patient_id").head(1)[:2]
    readable = []
    for patient, clip in zip(clips["patient_id"], clips["path"], strict=True):
        stills = files[(files["patient_id"] == patient) & (files["frame"] == -1)]["path"].tolist()
        below = folder / "DISC" / patient
        below.mkdir(parents=True)
        for number, path in enumerate([clip, *stills[:2]]):
            data = dcmread(path)
            data.ImagePositionPatient = [0, 0, 0]  # all at one place, where the SDK's own loader keeps one
            data.save_as(below / f"IM{number:04}")
            readable.append(below / f"IM{number:04}")
    whole = stills[2].read_bytes()
    (folder / "cut in its header.dcm").write_bytes(whole[:300])
    (folder / "cut in its pixels.dcm").write_bytes(whole[: len(whole) * 2 // 3])
    _as_raw_data(stills[0], folder / "raw")
    shutil.copy(readable[0], folder / "z_again")  # of an instance that was there before
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "ct.dcm")
    (folder / "README.txt").write_text("no image")
    return folder, readable
