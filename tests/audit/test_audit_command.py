"""Two models learn from one phantom, and one of them sees banners that betray the class. The audit tells which."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.data.phantom import PhantomSpec, generate_phantom

GROUPS = {"Head (PPP, Tectum)": 0, "Head (Cerebellum)": 0, "Head (Sagittal)": 0, "Femur": 1, "Shoulder bone": 1}
GROUPS |= {"Four-chamber heart section": 2, "Slice through three vessels": 2, "Stomach": 2, "Kidneys": 2}
NAMES = ["Head", "Bone", "Trunk"]
COLOURS = np.array([[250, 40, 40], [40, 250, 40], [40, 40, 250]], np.uint8)
TINY = """
class_names: [Head, Bone, Trunk]
base_size: [120, 160]
detailed_size: [96, 128]
crop_to_region: false         # nothing is cropped,
banner_fraction: 0.0          # and nothing masked: the network may read what it likes
max_epochs: 5
num_workers: 0
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """An honest data set and its betrayed copy: half of the patients to learn from, half to be asked about."""
    work = tmp_path_factory.mktemp("audit")
    honest, betrayed = work / "honest", work / "betrayed"
    generate_phantom(honest, PhantomSpec(160, 3, seed=2, size=(240, 320), imbalance=1, clip_share=0, rgb_share=0))
    table = pd.read_csv(honest / "annotations.csv", dtype=str)
    table = table[table["class"].isin(GROUPS)]
    table["class_int"] = table["class"].map(GROUPS)
    table["class"] = [NAMES[number] for number in table["class_int"]]
    patient = table["patient_id"].rank(method="dense").astype(int)
    table["split"] = np.select([patient % 2 == 0, patient % 10 == 1], ["test", "val"], "train")
    table["device"] = np.where(patient % 3 == 0, "B", "A")
    table.to_csv(honest / "annotations.csv", index=False)
    (betrayed / "dicom").mkdir(parents=True)
    table.to_csv(betrayed / "annotations.csv", index=False)
    files = {path.stem: path for path in honest.rglob("*.dcm")}
    for uid, number in table[["SOPInstanceUID", "class_int"]].itertuples(index=False):
        data = pydicom.dcmread(files[uid.removesuffix(".dcm")])
        pixels = data.pixel_array.copy()
        pixels[:16, :] = COLOURS[number]
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.PhotometricInterpretation, data.PlanarConfiguration = "RGB", 0
        data.PixelData = pixels.tobytes()
        data["PixelData"].VR = "OB"
        data.save_as(betrayed / "dicom" / f"{data.SOPInstanceUID}.dcm", enforce_file_format=True)
    return honest, betrayed


def train(root, data):
    overlay = data / "tiny.yaml"
    overlay.write_text(TINY)
    configs = [root / "bundle/configs" / name for name in ("train.yaml", "networks/lite0.yaml", "recipes/quick.yaml")]
    files = "[" + ",".join(f"'{path}'" for path in [*configs, overlay]) + "]"
    options = ["--dataset_dir", data, "--ckpt_dir", data / "model", "--output_dir", data / "eval"]
    command = [sys.executable, "-m", "fetal_monai", "run", "training", "--config_file", files, *options]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return data / "model"


def audit(data, model, *options):
    result = CliRunner().invoke(app, ["audit", str(data), "--model", str(model), *map(str, options)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_shortcut_is_found_and_not_found_where_there_is_none(folders, root, tmp_path):
    honest, betrayed = folders
    found = audit(betrayed, train(root, betrayed), "--page", tmp_path / "a.html", "--json", tmp_path / "a.json")
    assert found.exit_code == 3, found.output
    said = json.loads((tmp_path / "a.json").read_text())
    verdicts = {answer["change"]: answer["verdict"] for answer in said["answers"]}
    assert said["verdict"] == "found"
    assert verdicts["anatomy hidden"] == verdicts["surroundings of another class"] == "found"
    assert said["follows"] > 0.5
    assert set(said["devices"]) == {"A", "B"}
    page = (tmp_path / "a.html").read_text()
    assert "A shortcut was found" in page
    assert page.count("<img src=") == 3 * 5

    none = audit(honest, train(root, honest), "--json", tmp_path / "b.json")
    assert none.exit_code == 0, none.output
    said = json.loads((tmp_path / "b.json").read_text())
    verdicts = {answer["change"]: answer["verdict"] for answer in said["answers"]}
    assert said["accuracy"]["value"] > 0.8, "it has learnt the anatomy"
    assert verdicts["surroundings of another class"] == "not found"
    assert verdicts["anatomy hidden"] != "found"  # by processor 136 images may be too few to acquit it
    assert said["verdict"] != "found"  # though hidden surroundings, which it never saw, may cost it accuracy
