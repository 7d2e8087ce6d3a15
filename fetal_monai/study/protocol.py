"""What an examination has to show: the checklist of a guideline, as a YAML file says it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from fetal_monai.data.plane_codes import plane_codes
from fetal_monai.errors import InputError

DEFAULT_PROTOCOL = "isuog_mid_trimester"
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class ProtocolItem:
    """One thing that an examination has to show.

    Args:
        id: short name, unique in the protocol.
        title: what it is called in the guideline.
        planes: classes any of which shows it; none where no plane that this package has a name for does.
        note: what a reader has to know; may be empty.
    """

    id: str
    title: str
    planes: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Protocol:
    """A checklist.

    Args:
        title: of the protocol.
        source: the publication that it follows.
        review: who has reviewed it clinically, or that nobody has.
        items: in order.
    """

    title: str
    source: str
    review: str
    items: tuple[ProtocolItem, ...]


def protocol_names() -> list[str]:
    """Give the names of the protocols that come with the package.

    Returns:
        Names that `load_protocol` takes.

    Example:
        >>> protocol_names()
        ['aium_standard', 'isuog_mid_trimester']
    """
    folder = resources.files("fetal_monai.study").joinpath("protocols")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_protocol(name: str | PathLike[str] = DEFAULT_PROTOCOL, class_names: Sequence[str] = ()) -> Protocol:
    """Read a protocol.

    Args:
        name: of one that comes with the package, or a YAML file.
        class_names: of the model, which a protocol may name beside the planes of `plane_codes.yaml`.

    Returns:
        The protocol.

    Raises:
        InputError: if there is no such protocol, or the file is not right: all its problems together.

    Example:
        >>> load_protocol("isuog_mid_trimester").items[0].planes
        ('Head (trans-thalamic)', 'Head (PPP, Tectum)')
    """
    text = _text(name)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(name, [f"it is not YAML ({' '.join(str(error).split())}); mend it there"]) from error
    problems: list[str] = []
    known = list(dict.fromkeys([*class_names, *plane_codes()["planes"]]))
    if not isinstance(content, dict):
        raise InputError(name, ["it holds no keys; give title, source, review and items, as the protocols here do"])
    _check_keys(content, ("title", "source", "review", "items"), (), "", problems)
    items = content.get("items")
    if not isinstance(items, list) or not items:
        problems.append("items is no list of items; give one or more")
        items = []
    read = [_item(entry, f"item {number}", known, problems) for number, entry in enumerate(items, start=1)]
    ids = [str(entry["id"]) for entry in items if isinstance(entry, dict) and "id" in entry]
    problems += [
        f"the id {twice!r} is there twice; ids are unique" for twice in sorted({i for i in ids if ids.count(i) > 1})
    ]
    if problems:
        raise InputError(name, problems)
    return Protocol(
        str(content["title"]), str(content["source"]), str(content["review"]), tuple(i for i in read if i is not None)
    )


def _text(name: str | PathLike[str]) -> str:
    path = Path(name)
    if path.suffix in _SUFFIXES:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(path, [f"it cannot be read ({error}); give a YAML file in UTF-8"]) from error
    if str(name) not in protocol_names():
        have = ", ".join(protocol_names())
        raise InputError(name, [f"there is no such protocol; give one of {have}, or a file that ends in .yaml"])
    return resources.files("fetal_monai.study").joinpath("protocols", f"{name}.yaml").read_text(encoding="utf-8")


def _item(entry: Any, place: str, known: Sequence[str], problems: list[str]) -> ProtocolItem | None:
    if not isinstance(entry, dict):
        problems.append(f"{place} is no mapping; give id, title and planes")
        return None
    if isinstance(entry.get("id"), str):
        place = f"item {entry['id']!r}"
    before = len(problems)
    _check_keys(entry, ("id", "title", "planes"), ("note",), f"{place}: ", problems)
    planes = entry.get("planes")
    if "planes" in entry and not isinstance(planes, list):
        problems.append(f"{place}: planes is no list; give [] where no plane shows it")
    for plane in planes if isinstance(planes, list) else ():
        if plane not in known:
            near = difflib.get_close_matches(str(plane), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"give names of {', '.join(known[:4])}, ..."
            problems.append(f"{place}: no class is called {plane!r}; {hint}")
    if len(problems) > before:
        return None
    return ProtocolItem(str(entry["id"]), str(entry["title"]), tuple(planes or ()), str(entry.get("note", "")))


def _check_keys(
    content: Mapping[Any, Any], needed: Sequence[str], optional: Sequence[str], place: str, problems: list[str]
) -> None:
    problems += [f"{place}{key} is missing; add it" for key in needed if key not in content]
    for key in content:
        if key not in (*needed, *optional):
            near = difflib.get_close_matches(str(key), [*needed, *optional], n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join([*needed, *optional])}"
            problems.append(f"{place}the key {key!r} means nothing here; {hint}")
