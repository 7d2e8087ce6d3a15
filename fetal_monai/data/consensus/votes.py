"""The experts' tables, read and checked, as votes for images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import pandas as pd

from fetal_monai.data.annotations import COLUMNS, FILE_COLUMN, require_columns, with_image_names
from fetal_monai.data.consensus.class_list import class_list
from fetal_monai.data.image_names import image_name
from fetal_monai.data.row_problems import address_problems
from fetal_monai.data.soft_labels import PREFIX
from fetal_monai.data.text_table import read_text_table
from fetal_monai.dicom.frame_ref import STILL
from fetal_monai.errors import InputError

_OWN = ("expert", "class", "class_int", "file", "row", "image")  # columns that tell of a vote; all others, of the image


@dataclass(frozen=True)
class Votes:
    """Who called which image what.

    Args:
        class_numbers: each class with its `class_int`, in the order of these.
        images: a row for each image, numbered from 0: `SOPInstanceUID`, `frame`, and what else the tables tell of it;
            all text, "" where they tell nothing or contradict each other.
        table: a row for each vote: `image` (int), `expert` (str) and `label` (int), the position of the class in
            `class_numbers`; sorted by image and expert.
        notes: what was passed over or contradicts, for the reader.
    """

    class_numbers: dict[str, int]
    images: pd.DataFrame
    table: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def class_names(self) -> list[str]:
        """The classes in order."""
        return list(self.class_numbers)

    @property
    def experts(self) -> list[str]:
        """The experts, in the order of their names."""
        return sorted(self.table["expert"].unique())


def read_votes(paths: Sequence[str | PathLike[str]], class_names: Sequence[str] | None = None) -> Votes:
    r"""Read the labels of several experts: a table for each, or tables with a column `expert`.

    Args:
        paths: tables with `SOPInstanceUID` and `class`, as `read_text_table` takes them; without a column `expert` the
            file's name is the expert's. `frame` (-1 if there is none), `class_int` and whatever else tells of the
            image (`split`, `patient_id`, `device`, ...) are understood. A row with an empty `class` is no vote.
        class_names: the classes in order; without them they are those of the tables, by their `class_int`.

    Returns:
        The votes.

    Raises:
        InputError: with all problems of a file: names, frames, unknown classes, an image twice by one expert; or if
            there are not two experts with an image in common.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "votes.csv")
        >>> _ = path.write_text("SOPInstanceUID,expert,class\n1.2,ann,Femur\n1.2,bob,Other\n")
        >>> votes = read_votes([path])
        >>> votes.experts, votes.class_numbers, votes.table["label"].tolist()
        (['ann', 'bob'], {'Femur': 0, 'Other': 1}, [0, 1])
    """
    names = _expert_names([Path(path) for path in paths])
    table = pd.concat([_read(path, name) for path, name in names.items()], ignore_index=True)
    blank = table["class"] == ""
    notes = [f"rows without a class are passed over: {blank.sum()}"] if blank.any() else []
    table = table[~blank].reset_index(drop=True)
    table["image"] = _image_keys(table).astype("category").cat.codes
    _refuse_repeated(table)
    numbers, found = class_list(table, class_names)
    _require_overlap(paths, table)
    images, told = _images(table)
    position = {name: place for place, name in enumerate(numbers)}
    votes = table.assign(label=table["class"].map(position))[["image", "expert", "label"]]
    votes = votes.sort_values(["image", "expert"], ignore_index=True)
    return Votes(numbers, images, votes, (*notes, *found, *told))


def _expert_names(paths: Sequence[Path]) -> dict[Path, str]:
    """File to expert: its stem, or where two are the same, its folder's name."""
    if len(set(paths)) < len(paths):
        raise InputError("consensus", [f"{path} is given twice" for path in {p for p in paths if paths.count(p) > 1}])
    for path in paths:
        if not path.is_file():
            raise InputError(path, ["there is no such file; give the tables of the experts"])
    for names in ([path.stem for path in paths], [path.absolute().parent.name for path in paths]):
        if len(set(names)) == len(names):
            return dict(zip(paths, names, strict=True))
    raise InputError("consensus", ["the tables have the same names, and so have their folders; rename one of them"])


def _read(path: Path, expert: str) -> pd.DataFrame:
    table = with_image_names(read_text_table(path, (*COLUMNS, "expert"))).drop(columns=FILE_COLUMN, errors="ignore")
    require_columns(path, table, ["SOPInstanceUID", "class"])
    given = {"expert": expert, "frame": str(STILL), "class_int": ""}
    table = table.assign(**{name: value for name, value in given.items() if name not in table})
    table["frame"] = table["frame"].where(table["frame"] != "", str(STILL))
    problems = []
    for row, (name, frame, who) in zip(
        table.index, table[["SOPInstanceUID", "frame", "expert"]].itertuples(index=False), strict=True
    ):
        problems += address_problems(row, name, frame)
        if not who:
            problems.append((row, "expert is empty; say who labelled this image"))
    if problems:
        raise InputError(path, [f"row {row}: {text}" for row, text in problems])
    kept = [name for name in table if not str(name).startswith(PREFIX)]
    return table[kept].assign(
        SOPInstanceUID=table["SOPInstanceUID"].map(image_name), file=str(path), row=table.index.astype(int)
    )


def _image_keys(table: pd.DataFrame) -> pd.Series:
    # Frame 0 and -1 address the same image of a still.
    return table["SOPInstanceUID"] + "\n" + table["frame"].where(table["frame"] != str(STILL), "0").str.zfill(9)


def _refuse_repeated(table: pd.DataFrame) -> None:
    again = table[table.duplicated(["expert", "image"])]
    first = table.drop_duplicates(["expert", "image"]).set_index(["expert", "image"])
    problems = []
    for expert, image, file, row in again[["expert", "image", "file", "row"]].itertuples(index=False):
        before = first.loc[(expert, image)]
        place = f"row {before['row']}" + ("" if before["file"] == file else f" of {before['file']}")
        problems.append(f"{file}, row {row}: '{expert}' has labelled the same image in {place}; keep one of the two")
    if problems:
        raise InputError("consensus", problems)


def _require_overlap(paths: Sequence[str | PathLike[str]], table: pd.DataFrame) -> None:
    experts = sorted(table["expert"].unique())
    if len(experts) < 2:
        who = f"only '{experts[0]}' has" if experts else "nobody has"
        remedy = "give the tables of two experts or more, or one with a column 'expert'"
        raise InputError(", ".join(map(str, paths)), [f"{who} labelled images; {remedy}"])
    if not table.duplicated("image").any():
        problem = "no image has the labels of two experts, so that nothing can be compared; check SOPInstanceUID, frame"
        raise InputError(", ".join(map(str, paths)), [problem])


def _images(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """What the tables tell of each image, where they agree, and where they do not."""
    first = table.drop_duplicates("image").set_index("image").sort_index()
    images = first[["SOPInstanceUID", "frame"]].copy()
    notes = []
    for name in [name for name in table if name not in (*_OWN, *images.columns)]:
        told = table.loc[table[name].fillna("") != "", ["image", name]].drop_duplicates()
        contradicting = set(told.loc[told.duplicated("image"), "image"])
        agreed = told[~told["image"].isin(contradicting)].set_index("image")[name]
        images[str(name)] = agreed.reindex(images.index).fillna("")
        if contradicting:
            of = "1 image" if len(contradicting) == 1 else f"{len(contradicting)} images"
            example = images.loc[min(contradicting), "SOPInstanceUID"]
            notes.append(f"the tables contradict each other in '{name}' of {of}, such as {example}: it is left empty")
    return images, notes
