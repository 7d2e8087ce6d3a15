"""Data sets of pictures as their publishers lay them out, made small, as folders and as zips."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

PLANES = {  # an image of each class of FETAL_PLANES_DB: its plane, brain plane, and our class
    "Plane1": ("Other", "Not A Brain", "Other"),
    "Plane2": ("Fetal abdomen", "Not A Brain", "Abdomen"),
    "Plane3a": ("Fetal brain", "Trans-thalamic", "Head (trans-thalamic)"),
    "Plane3b": ("Fetal brain", "Trans-ventricular", "Head (trans-ventricular)"),
    "Plane3c": ("Fetal brain", "Trans-cerebellum", "Head (trans-cerebellum)"),
    "Plane4": ("Maternal cervix", "Not A Brain", "Cervix"),
    "Plane5": ("Fetal femur", "Not A Brain", "Femur"),
    "Plane6": ("Fetal thorax", "Not A Brain", "Thorax"),
}
HEADER = ("Image_name", "Patient_num", "Plane", "Brain_plane", "Operator", "US_Machine", "Train ")

Files = dict[str, bytes]


def picture(number: int, suffix: str = ".png", size: tuple[int, int] = (24, 32)) -> bytes:
    """A picture that is no other's."""
    pixels = np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)
    return cv2.imencode(suffix, cv2.GaussianBlur(pixels, (0, 0), 2))[1].tobytes()


def rows_of_fetal_planes(patients: int = 8) -> list[list[str]]:
    """Rows of the table: one image of each class for each patient, the last half of them for testing."""
    return [
        [f"Patient{patient:05d}_{name}_1_of_1", str(patient), plane, brain, "Op. 1", "Aloka", train]
        for patient in range(1, patients + 1)
        for train in ["1" if 2 * patient <= patients else "0"]
        for name, (plane, brain, _) in PLANES.items()
    ]


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> bytes:
    """The CSV of FETAL_PLANES_DB."""
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows([header, *rows])
    return text.getvalue().encode()


def fetal_planes(rows: Sequence[Sequence[str]] | None = None) -> Files:
    """The archive of FETAL_PLANES_DB."""
    rows = rows_of_fetal_planes() if rows is None else rows
    images = {f"Images/{row[0]}.png": picture(number) for number, row in enumerate(rows)}
    return {"FETAL_PLANES_DB_data.csv": table(rows), **images}


def write_folder(files: Mapping[str, bytes], folder: Path) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(files: Mapping[str, bytes], path: Path, around: str = "") -> Path:
    """Write files into a zip, with a folder around them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(around + name, content)
    return path
