"""Labels on disk: one JSON file per image, and the CSV of all of them that training reads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fetal_monai.apps.label.image_sources import ImageFile
from fetal_monai.data.image_names import names_picture
from fetal_monai.errors import OTHER_CLASSES, InputError

COLUMNS = ("SOPInstanceUID", "split", "class", "class_int", "frame", "patient_id", "file")
VAL_SHARE = 0.2
FORM = '{"labels": [{"frame": -1, "class": "Femur"}]}'


@dataclass(frozen=True)
class ImageLabels:
    """What was said about one image: a class for some of its frames.

    Args:
        frames: frame to class; -1 is the frame of a still.
        split: `train` or `val`, the same for all images of a patient.
        patient: as in `ImageFile`.
    """

    frames: Mapping[int, str]
    split: str
    patient: str

    def to_json(self, class_names: Sequence[str]) -> str:
        """Give the label file's text; `from_json` reads it."""
        labels = [
            {"frame": frame, "class": name, "class_int": list(class_names).index(name)}
            for frame, name in sorted(self.frames.items())
        ]
        content = {"labels": labels, "split": self.split, "patient_id": self.patient}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str, image: ImageFile | None, class_names: Sequence[str]) -> ImageLabels:
        """Read a label file and check it against the image and the classes.

        Args:
            text: JSON as in `FORM`; `split` and `patient_id` may be missing.
            source: what to call it in messages.
            image: the image, or None to trust the frames.
            class_names: the classes in order.

        Returns:
            The labels; the split is empty if the file has none.

        Raises:
            InputError: with all that is wrong: other JSON, no label, a class outside the list, a `class_int` that
                disagrees, a frame out of range or named twice.
        """
        try:
            content = json.loads(text)
            labels = content["labels"]
            items = [(int(item.get("frame", -1)), str(item["class"]), item.get("class_int")) for item in labels]
            extra = str(content.get("split", "")), str(content.get("patient_id", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(source, [f"not a label file; it should look like {FORM}"]) from None
        problems: list[str] = [] if items else ["no frame is labelled; remove the label instead"]
        frames: dict[int, str] = {}
        for number, name, class_int in items:
            frame = number
            if name not in class_names:
                known = ", ".join(class_names)
                problems.append(
                    f"class '{name}' is not in the list of classes ({known}); correct it, or {OTHER_CLASSES}"
                )
            elif class_int is not None and class_int != list(class_names).index(name):
                problems.append(f"class_int {class_int} disagrees with class '{name}'")
            try:
                frame = number if image is None else image.reference(number).frame
            except Exception as error:  # noqa: BLE001  # a DicomReadError, collected with the others
                problems.append(str(error))
            if frame in frames:
                problems.append(f"frame {frame} is labelled twice; keep one of the two")
            frames[frame] = name
        if problems:
            raise InputError(source, problems)
        return cls(frames, *extra)


def choose_split(patient: str, labelled: Iterable[ImageLabels]) -> str:
    """Put a patient into training or validation: about one in five into the latter, and never both.

    The second patient is the first of validation, so that two patients are enough to train. A choice is kept with the
    label, so later patients never move earlier ones.

    Args:
        patient: as in `ImageFile`; empty is a patient of its own.
        labelled: what is labelled already.

    Returns:
        `train` or `val`.

    Example:
        >>> first = ImageLabels({-1: "Femur"}, "train", "A")
        >>> choose_split("A", [first]), choose_split("B", [first])
        ('train', 'val')
    """
    groups: dict[str, str] = {}
    for number, labels in enumerate(labelled):
        groups[labels.patient or f"unknown {number}"] = labels.split
    if patient and patient in groups:
        return groups[patient]
    in_val = sum(split == "val" for split in groups.values())
    wanted = max(min(1, len(groups)), int(VAL_SHARE * (len(groups) + 1)))
    return "val" if in_val < wanted else "train"


def to_csv(labelled: Mapping[str, ImageLabels], class_names: Sequence[str]) -> str:
    """Write all labels as annotations.csv, one row per labelled frame (see `fetal_monai.data.read_annotations`).

    Args:
        labelled: image id to labels. An id that ends as a picture's does is the path of one, and goes into `file`.
        class_names: the classes in order.

    Returns:
        The text of the file.

    Example:
        >>> print(to_csv({"1.2": ImageLabels({-1: "Other"}, "train", "A")}, ["Femur", "Other"]).splitlines()[1])
        1.2,train,Other,1,-1,A,
    """
    index = {name: position for position, name in enumerate(class_names)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image_id, labels in sorted(labelled.items()):
        uid, path = ("", image_id) if names_picture(image_id) else (image_id, "")
        for frame, name in sorted(labels.frames.items()):
            writer.writerow([uid, labels.split, name, index[name], frame, labels.patient, path])
    return text.getvalue()
