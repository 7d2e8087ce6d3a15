"""What COCO and CVAT have in common: a list of images with labels, and pictures that it names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fetal_monai.data.importers.plan import Item, Plan, patients_by_name
from fetal_monai.data.importers.source import Source, by_title, is_path_outside, pictures
from fetal_monai.errors import InputError


@dataclass(frozen=True)
class Labelled:
    """One image of an export.

    Args:
        name: as the export calls it, perhaps with folders.
        labels: the image's labels.
        place: where the export says so, for messages.
        split: train, val or test; empty if it does not say.
    """

    name: str
    labels: tuple[str, ...]
    place: str
    split: str = ""


def plan_labelled(
    source: Source, images: Iterable[Labelled], class_names: Sequence[str], patient_pattern: str | None
) -> Plan:
    """Plan the import of images that an export names.

    Args:
        source: with the export and its pictures, which are found by their path or, where that is not there, by the
            end of it.
        images: what the export says.
        class_names: the labels that the export knows, in order; those in use are the classes.
        patient_pattern: finds the patient in an image's name, see `patients_by_name`.

    Returns:
        The plan; images without a label are left out.

    Raises:
        InputError: if a name leads out of the source, an image has two labels or is there twice, or none is found.
    """
    found = _Pictures(source)
    items: dict[str, Labelled] = {}
    members: dict[str, str] = {}
    missing, left_out = [], []
    problems: list[str] = []
    for image in images:
        if not image.name or is_path_outside(image.name):
            problems.append(f"{image.place}: the name {image.name!r} leads out of the data set; correct it")
            continue
        title = PurePosixPath(image.name.replace("\\", "/")).as_posix()
        candidates = found.named(title)
        if title in items:
            problems.append(f"{image.place}: {title} is there twice; keep one of the two")
        elif len(set(image.labels)) > 1:
            labels = ", ".join(sorted(set(image.labels)))
            problems.append(f"{image.place}: {title} has more than one label ({labels}); keep the one that it shows")
        elif len(candidates) > 1:
            problems.append(
                f"{image.place}: {title} may be any of {', '.join(candidates[:3])}; name it with its folder"
            )
        elif not candidates:
            missing.append((title, f"{image.place} names it, and it is not there; add it"))
        else:
            items[title], members[title] = image, candidates[0]
    if problems:
        raise InputError(source.path, problems)
    if not items:
        raise InputError(source.path, ["none of the images that it names is there; give the folder with both"])
    named = set(members.values())
    left_out = [(title, "it has no label") for title, image in items.items() if not image.labels]
    left_out += [(name, "the export does not name it") for name in found.names if name not in named]
    kept = {title: image for title, image in items.items() if image.labels}
    patients, notes = patients_by_name(str(source.path), kept, patient_pattern)
    used = {image.labels[0] for image in kept.values()}
    unused = [name for name in class_names if name not in used]
    if unused:
        notes = (*notes, f"no image is of {', '.join(unused)}, which is no class of the import therefore")
    return Plan(
        tuple(name for name in class_names if name in used),
        tuple(
            Item(members[title], title, image.labels[0], patients[title], image.split) for title, image in kept.items()
        ),
        tuple(missing),
        tuple(left_out),
        notes,
    )


class _Pictures:
    """The pictures of a source, by any end of their path."""

    def __init__(self, source: Source) -> None:
        self.names = pictures(source)
        self._names = set(self.names)
        self._by_base: dict[str, list[str]] = {}
        for name in self.names:
            self._by_base.setdefault(PurePosixPath(name).name, []).append(name)
        self._by_title = by_title(self.names)

    def named(self, title: str) -> list[str]:
        """Return the pictures that a name may mean: one if it is a path from the top, else all that end so."""
        if title in self._names:
            return [title]
        if title in self._by_title:
            return [self._by_title[title]]
        return [name for name in self._by_base.get(PurePosixPath(title).name, []) if f"/{name}".endswith(f"/{title}")]
