"""What an import is going to write: one item an image, decided from tables and names before any picture is read."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from fetal_monai.errors import InputError


@dataclass(frozen=True)
class Item:
    """One image to be imported.

    Args:
        member: its name in the source, to read it by.
        title: its name in the data set, the same whether that came as a folder or a zip.
        label: a name of the plan's classes.
        patient: as the source calls the patient.
        split: train, val or test; empty where the source does not say.
        device: the machine, as the source calls it; empty where it does not say.
    """

    member: str
    title: str
    label: str
    patient: str
    split: str = ""
    device: str = ""


@dataclass(frozen=True)
class Plan:
    """A data set as its tables and names describe it.

    Args:
        class_names: the classes in order.
        items: the images to import.
        missing: what should have been there and is not: name and reason. The import is then incomplete.
        left_out: what is there and is not imported, by design: name and reason.
        notes: what a person should know, a sentence each.
        published_as: the public data set that it is, which came without the patients' identities; else empty.
        licence: of the public data set, with where it is published.
        cropped: whether its images were cropped to the picture before publication: no banner is left to mask.
    """

    class_names: tuple[str, ...]
    items: tuple[Item, ...]
    missing: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    published_as: str = ""
    licence: str = ""
    cropped: bool = False

    def fingerprint(self) -> str:
        """Tell this plan from any other: the same source and settings give the same one.

        Returns:
            64 hexadecimal digits.
        """
        lines = sorted(json.dumps(asdict(item), sort_keys=True) for item in self.items)
        return hashlib.sha256("\n".join([*self.class_names, *lines]).encode("utf-8", "backslashreplace")).hexdigest()


def unknown_name(what: str, name: str, known: Sequence[str]) -> str:
    """Say that a name is unknown, and which was probably meant.

    Args:
        what: what it should name.
        name: as the source has it.
        known: the names that there are.

    Returns:
        The problem with its remedy.

    Example:
        >>> unknown_name("plane", "Fetal fermur", ["Fetal femur", "Fetal brain"])
        "no plane is called 'Fetal fermur'; did you mean 'Fetal femur'?"
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"no {what} is called {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"use {', '.join(known)}")


def patients_by_name(source: str, titles: Iterable[str], pattern: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    r"""Find the patient of each image in its name.

    Args:
        source: the data set, for messages.
        titles: the images' names, with folders.
        pattern: a regular expression that is searched in each; its first group, or else all that it matches, is the
            patient. None: each image is taken for a patient of its own.

    Returns:
        The patient of each title, and notes.

    Raises:
        InputError: if the pattern is none, has no group, or does not match some of the names.

    Example:
        >>> patients_by_name("data", ["Femur/p07_2.png"], r"(p\d+)_")
        ({'Femur/p07_2.png': 'p07'}, ())
    """
    titles = list(titles)
    if pattern is None:
        note = (
            "nothing says which images are of one patient: each counts as a patient of its own. If some are not, the "
            "same patient may stand in two splits and every metric is too good; use --patient-pattern"
        )
        return {title: title for title in titles}, (note,)
    try:
        matcher = re.compile(pattern)
    except re.error as error:
        raise InputError("--patient-pattern", [f"{pattern!r} is no regular expression: {error}; correct it"]) from None
    if not matcher.groups:
        problem = f"{pattern!r} has no group; put what names the patient in parentheses, such as '(P[0-9]+)_'"
        raise InputError("--patient-pattern", [problem])
    found = {title: matcher.search(title) for title in titles}
    patients = {title: match[1] or "" for title, match in found.items() if match}
    strays = [title for title in titles if not patients.get(title)]
    if strays:
        problem = "has no patient by --patient-pattern {!r}; give a pattern that fits all names, such as '(P[0-9]+)_'"
        raise InputError(source, [f"{title}: {problem.format(pattern)}" for title in strays])
    return patients, ()
