"""Two simulated sites: the phantom's patients dealt out to two folders, a network small enough to train in seconds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

TINY = """
base_size: [60, 80]
detailed_size: [48, 64]
shallow_size: null
prepare_batch: {_target_: PrepareBatchDefault}
network_def:
  _target_: fetal_monai.networks.SingleBranchClassifier
  num_classes: "@num_classes"
  backbone: {_target_: fetal_monai.networks.EfficientNetBackbone, variant: lite0}
network: $@network_def.to(@device, memory_format=torch.channels_last)
num_workers: 0
batch_size: 4
augmentation: []
loss: {_target_: torch.nn.CrossEntropyLoss}
"""


@pytest.fixture(scope="session")
def tiny_site(tmp_path_factory) -> str:
    """The overlay of a tiny network."""
    path = tmp_path_factory.mktemp("federated") / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


@pytest.fixture(scope="session")
def sites(phantom: Path, tmp_path_factory) -> list[Path]:
    """Two folders with images and annotations of their own; no patient is in both."""
    table = pd.read_csv(phantom / "annotations.csv", dtype=str)
    folders = []
    for index in range(2):
        folder = tmp_path_factory.mktemp(f"site{index}")
        (folder / "dicom").symlink_to(phantom / "dicom")
        parts = []
        for split, size in (("train", 12), ("val", 4)):
            patients = sorted(table.loc[table["split"] == split, "patient_id"].unique())[index::2]
            parts.append(table[(table["split"] == split) & table["patient_id"].isin(patients)].head(size))
        pd.concat(parts).to_csv(folder / "annotations.csv", index=False)
        folders.append(folder)
    return folders
