"""Data sets to import and tables of labels, damaged in seeded ways: the archive, or a file before it is packed."""

from __future__ import annotations

import io
import json
import random
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
from dicom_mutants import flip_bits, insert_junk, truncate

from fetal_monai.data.annotations import read_annotations
from fetal_monai.data.importers import import_dataset
from fetal_monai.errors import FetalMonaiError

_NAMES = {"p1_a.png": "Femur", "p1_b.jpg": "Spine", "p2_a.png": "Femur", "p3_a.png": "Abdomen"}
_PLANES = ("Fetal femur", "Fetal abdomen", "Fetal thorax", "Other")


def _picture(number: int, suffix: str) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (24, 32, 3), np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def _data_sets() -> dict[str, dict[str, bytes]]:
    """Kind of import -> the files of a small data set of it."""
    shown = {name: _picture(number, name[-4:]) for number, name in enumerate(_NAMES)}
    images = [{"id": number, "file_name": name} for number, name in enumerate(_NAMES)]
    labels = sorted(set(_NAMES.values()))
    told = [{"id": n, "image_id": n, "category_id": labels.index(label)} for n, label in enumerate(_NAMES.values())]
    kinds = [{"id": number, "name": label} for number, label in enumerate(labels)]
    coco = json.dumps({"images": images, "annotations": told, "categories": kinds})
    tags = [
        f'<image id="{number}" name="{name}" width="32" height="24"><tag label="{label}"/></image>'
        for number, (name, label) in enumerate(_NAMES.items())
    ]
    names = "".join(f"<label><name>{label}</name></label>" for label in labels)
    cvat = f"<annotations><meta><job><labels>{names}</labels></job></meta>{''.join(tags)}</annotations>"
    rows = [
        f"Patient0000{number}_Plane1_1_of_1;{number};{plane};Not A Brain;Op. 1;Aloka;{number % 2}"
        for number, plane in enumerate(_PLANES)
    ]
    planes = "\n".join(["Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train ", *rows])
    circles = [f"{number:03}_HC.png,0.1,{number + 40}" for number in range(1, 4)]
    hc18 = "\n".join(["filename,pixel size(mm),head circumference (mm)", *circles])
    return {
        "folders": {f"{label}/{name}": shown[name] for name, label in _NAMES.items()},
        "coco": {"annotations.json": coco.encode(), **{f"images/{name}": data for name, data in shown.items()}},
        "cvat": {"annotations.xml": cvat.encode(), **{f"images/{name}": data for name, data in shown.items()}},
        "fetal-planes-db": {
            "FETAL_PLANES_DB_data.csv": planes.encode(),
            **{f"Images/{row.split(';')[0]}.png": _picture(n, ".png") for n, row in enumerate(rows)},
        },
        "hc18": {
            "training_set_pixel_size_and_HC.csv": hc18.encode(),
            **{f"training_set/{row.split(',')[0]}": _picture(n, ".png") for n, row in enumerate(circles)},
        },
    }


_ROWS = "".join(f"1.2.{number},train,Femur,0,-1\n" for number in range(9))
_TABLE = f"SOPInstanceUID,split,class,class_int,frame\n{_ROWS}".encode()


def _repeat_line(data: bytearray, rng: random.Random) -> None:
    """Write a line once more somewhere, or a piece of it, or what gives tables their shape."""
    lines = bytes(data).splitlines(keepends=True) or [b""]
    piece = rng.choice(
        [rng.choice(lines), rng.choice(lines)[: rng.randrange(30)], b'"', b";;", b"\0", b"\xff\xfe", b"\r"]
    )
    place = rng.randrange(len(data) + 1)
    data[place:place] = piece


_MUTATORS = (flip_bits, truncate, insert_junk, _repeat_line, _repeat_line)


def _damage(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if len(damaged) > 8:
            rng.choice(_MUTATORS)(damaged, rng)
    return bytes(damaged)


def _packed(files: dict[str, bytes], compression: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return out.getvalue()


def mutant(number: int) -> tuple[str, bytes]:
    """The mutant of a number: the kind of import, or "table", and its bytes."""
    rng = random.Random(number)
    kinds = _data_sets()
    kind = rng.choice(["table", *kinds])
    if kind == "table":
        return kind, _damage(_TABLE, rng)
    files = kinds[kind]
    compression = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    if rng.random() < 0.4:
        return kind, _damage(_packed(files, compression), rng)
    # Tables decide, so they are damaged more often than pictures.
    name = next(iter(files)) if rng.random() < 0.6 else rng.choice(list(files))
    return kind, _packed(files | {name: _damage(files[name], rng)}, compression)


def import_one(kind: str, path: Path) -> str:
    """Import a damaged data set, or read a damaged table: "error" or "image" if all is as it should be."""
    out = path.with_suffix(".out")
    try:
        if kind == "table":
            read_annotations(path)
        else:
            import_dataset(kind, path, out, val_fraction=0, test_fraction=0)
    except FetalMonaiError:
        return "error"
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return "image"
