"""MONAI Label's datastore for ultrasound: images by instance, labels by frame."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from fetal_monai.apps.label.file_names import file_name
from fetal_monai.apps.label.image_sources import ImageFile, ImageSource
from fetal_monai.apps.label.labels import ImageLabels, choose_split, to_csv
from fetal_monai.utils.files import atomic_path

FINAL = DefaultLabelTag.FINAL.value
CSV_FILE = "annotations.csv"
_TAG = re.compile(r"[A-Za-z0-9_-]{1,40}")


class UltrasoundDatastore(Datastore):
    """Images of an `ImageSource`, and a folder of labels: `TAG/IMAGE.json`, and `annotations.csv` of the tag `final`.

    MONAI Label's own datastores take one file per series, convert to NIfTI, and rewrite one JSON file for everything in
    place. Here an image is a DICOM instance (still or clip) or a PNG, each label file is written whole or not at all,
    and nothing but these files is remembered.

    Args:
        source: the images.
        folder: for the labels.
        class_names: the classes in order.

    Raises:
        InputError: if labels on disk do not fit the classes.
    """

    def __init__(self, source: ImageSource, folder: Path, class_names: tuple[str, ...]) -> None:
        self.source = source
        self.folder = folder
        self.class_names = class_names
        self._lock = threading.RLock()
        self._ids: dict[str, None] = {}
        # Never changed, only replaced: requests that read it go on while another one saves.
        self._labels: Mapping[str, Mapping[str, ImageLabels]] = {}
        self._info: dict[str, dict[str, Any]] = {}
        self._label_info: dict[tuple[str, str], dict[str, Any]] = {}
        self._description = "Ultrasound images and their classes"
        self.refresh()

    def name(self) -> str:
        """Name the folder or the archive."""
        return self.source.name

    def set_name(self, name: str) -> None:
        """Refuse: the name is where the images are."""
        raise HTTPException(405, f"the datastore cannot be called {name!r}: its name is the place of its images")

    def description(self) -> str:
        """Describe the datastore."""
        return self._description

    def set_description(self, description: str) -> None:
        """Describe the datastore, until the server ends."""
        self._description = description

    def refresh(self) -> None:
        """Read the list of images and the labels from disk again."""
        with self._lock:
            ids = dict.fromkeys(self.source.list_ids())
            known = {file_name(image_id): image_id for image_id in ids}
            found: dict[str, dict[str, ImageLabels]] = {}
            # What begins with a dot is no label: a save that was killed leaves such a file, which may be empty.
            for path in sorted(self.folder.glob("[!.]*/[!.]*.json")):
                labels = ImageLabels.from_json(path.read_text(encoding="utf-8"), str(path), None, self.class_names)
                # Images that are gone count, too: their patients have a split.
                found.setdefault(path.parent.name, {})[known.get(path.stem, unquote(path.stem))] = labels
            self._ids, self._labels = ids, found

    def image(self, image_id: str) -> ImageFile:
        """Bring an image to this machine.

        Args:
            image_id: as in `list_images`.

        Returns:
            The file.

        Raises:
            HTTPException: 404 if there is no such image.
            FetalMonaiError: if it cannot be had or read.
        """
        if image_id not in self._ids:
            raise HTTPException(404, f"there is no image {image_id!r} in {self.source.name}")
        return self.source.fetch(image_id)

    def labels(self, tag: str = FINAL) -> dict[str, ImageLabels]:
        """All labels of a tag, by image; those of images that are gone are left out."""
        return {key: value for key, value in self._labels.get(tag, {}).items() if key in self._ids}

    def to_csv(self) -> str:
        """Give the final labels as annotations.csv."""
        return to_csv(self.labels(), self.class_names)

    def list_images(self) -> list[str]:
        """List the ids of all images."""
        return list(self._ids)

    def list_clips(self) -> list[str]:
        """List the ids of those that have several frames, as far as this is known without opening them."""
        return self.source.list_clips()

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """List the images with a label, of any of the classes `labels` if given."""
        found = self.labels(label_tag or FINAL)
        return [key for key, value in found.items() if not labels or set(labels) & set(value.frames.values())]

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """List the images without such a label."""
        labelled = set(self.get_labeled_images(label_tag, labels))
        return [image_id for image_id in self._ids if image_id not in labelled]

    def datalist(self) -> list[dict[str, Any]]:
        """List labelled frames for training: `image`, `frame`, `label` (int), `class`, `split`."""
        index = {name: position for position, name in enumerate(self.class_names)}
        return [
            {"image": image_id, "frame": frame, "label": index[name], "class": name, "split": labels.split}
            for image_id, labels in sorted(self.labels().items())
            for frame, name in sorted(labels.frames.items())
        ]

    def get_image(self, image_id: str, params: Any = None) -> io.BytesIO:
        """Give the bytes of the file."""
        del params
        return io.BytesIO(Path(self.get_image_uri(image_id)).read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        """Give the path of the file; it is downloaded if need be."""
        return self.image(image_id).path

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Give what is known of the image without opening it."""
        return dict(self._info.get(image_id, {}))

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Remember something of an image until the server ends."""
        self._info.setdefault(image_id, {}).update(info)

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Give tag -> label id; a label has the id of its image."""
        return {tag: image_id for tag in self._labels if image_id in self.labels(tag)}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """Give the label's id, empty if there is none."""
        return self.get_labels_by_image_id(image_id).get(tag, "")

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Give the path of a label file, empty if there is none."""
        return str(self._path(label_id, label_tag)) if label_id in self.labels(label_tag) else ""

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> io.BytesIO | None:
        """Give the bytes of a label file."""
        del params
        path = self.get_label_uri(label_id, label_tag)
        return io.BytesIO(Path(path).read_bytes()) if path else None

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Give what the client sent with the label."""
        return dict(self._label_info.get((label_id, label_tag), {}))

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Remember something of a label until the server ends."""
        self._label_info.setdefault((label_id, label_tag), {}).update(info)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Check a label file and keep it in place of the image's former one.

        Args:
            image_id: the image.
            label_filename: the file that the client sent.
            label_tag: `final` for what training shall use.
            label_info: anything else the client sent.

        Returns:
            The label's id, which is the image's.

        Raises:
            HTTPException: 404 if there is no such image, 400 for a tag that cannot be a folder's name.
            InputError: if the label does not fit the image and the classes.
            OSError: if it cannot be written; the former label is then as it was.
        """
        image = self.image(image_id)
        text = Path(label_filename).read_text(encoding="utf-8", errors="replace")
        sent = ImageLabels.from_json(text, f"label of {image_id}", image, self.class_names)
        with self._lock:
            kept = self._labels.get(label_tag, {})
            former = kept.get(image_id)
            split = former.split if former else choose_split(image.patient, kept.values())
            labels = ImageLabels(sent.frames, split, image.patient)
            with atomic_path(self._path(image_id, label_tag)) as temporary:
                temporary.write_text(labels.to_json(self.class_names), encoding="utf-8")
            self._labels = {**self._labels, label_tag: {**kept, image_id: labels}}
            self._label_info[image_id, label_tag] = dict(label_info)
            self._export(label_tag)
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label file; that there is none is no error."""
        with self._lock:
            kept = dict(self._labels.get(label_tag, {}))
            if kept.pop(label_id, None):
                self._path(label_id, label_tag).unlink(missing_ok=True)
                self._labels = {**self._labels, label_tag: kept}
                self._export(label_tag)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Refuse: images come from the folder or the archive."""
        del image_filename, image_info
        raise HTTPException(405, f"{image_id}: put the image into {self.source.name}, then POST /reload")

    def remove_image(self, image_id: str) -> None:
        """Refuse: labelling must never lose a patient's images."""
        raise HTTPException(405, f"{image_id}: images are never removed here; remove it from {self.source.name}")

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Refuse: a file with a path would stay on this disk; see `fetal_monai.apps.label.dataset`."""
        del limit_cases
        raise HTTPException(405, "a ZIP file would stay on this disk; get one by GET /datastore/dataset")

    def status(self) -> dict[str, Any]:
        """Count images and labels."""
        tags = {tag: len(self.labels(tag)) for tag in sorted(self._labels)}
        return {"total": len(self._ids), "completed": tags.get(FINAL, 0), "label_tags": tags}

    def json(self) -> dict[str, Any]:
        """List everything: for each image its labels by tag."""
        objects: dict[str, Any] = {
            image_id: {"image": {"info": self.get_image_info(image_id)}, "labels": {}} for image_id in self._ids
        }
        for tag in self._labels:
            for image_id, labels in self.labels(tag).items():
                frames = {str(frame): name for frame, name in labels.frames.items()}
                objects[image_id]["labels"][tag] = {"info": {"frames": frames, "split": labels.split}}
        return {"name": self.name(), "description": self.description(), "objects": objects}

    def _path(self, image_id: str, tag: str) -> Path:
        if not _TAG.fullmatch(tag):
            raise HTTPException(400, "a tag has letters, digits, _ and - only, 40 at most")
        return self.folder / tag / f"{file_name(image_id)}.json"

    def _export(self, tag: str) -> None:
        if tag == FINAL:
            with atomic_path(self.folder / CSV_FILE) as temporary:
                temporary.write_text(self.to_csv(), encoding="utf-8")
