"""The images of a data set as they were looked at, a million in the memory of their columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fetal_monai.data.checks.perceptual_hash import Look
from fetal_monai.data.file_facts import FileFacts
from fetal_monai.dicom import FrameRef
from fetal_monai.utils.lazy_sequence import LazySequence
from fetal_monai.utils.packed_strings import PackedStrings

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Listed:
    """An image that is to be looked at.

    Args:
        image: its address.
        row: in the table, 0 where there is none.
        split: "" where there is no table.
        label: the name of its class, "" where there is no table.
        patient: by the table, "" where it names none.
        device: likewise.
    """

    image: FrameRef
    row: int = 0
    split: str = ""
    label: str = ""
    patient: str = ""
    device: str = ""

    def __str__(self) -> str:
        if not self.row:
            return str(self.image)
        return f"row {self.row} ({', '.join(filter(None, (self.split, self.label, self.patient)))})"


@dataclass(frozen=True, slots=True)
class SeenImage:
    """An image that was looked at.

    Args:
        listed: where it stands.
        facts: of its file, without the digest of its pixels.
        digest: of its pixels: decoded ones where they were, else as they are stored; `DIGEST_BYTES`.
        look: what it looks like; None where pixels were not decoded.
    """

    listed: Listed
    facts: FileFacts
    digest: bytes
    look: Look | None

    @property
    def device(self) -> str:
        """By the header, or else by the table: pictures have no header."""
        return self.facts.device or self.listed.device

    @property
    def patient(self) -> str:
        """The best that is known of whose it is: by the table, the header, or the study."""
        return self.listed.patient or self.facts.patient or self.facts.study


class _Words:
    """A column of few different words."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}
        self._words = [""]
        self.codes = array("i")

    def append(self, word: str) -> None:
        number = self._numbers.setdefault(word, len(self._words))
        if number == len(self._words):
            self._words.append(word)
        self.codes.append(number)

    def __getitem__(self, position: int) -> str:
        return self._words[self.codes[position]]

    def all(self) -> list[str]:
        words = self._words
        return [words[code] for code in self.codes]


Word = Literal["split", "label", "patient", "device", "header_patient", "header_study", "header_device"]
_LISTED: tuple[Word, ...] = ("split", "label", "patient", "device")
_FACTS: tuple[Word, ...] = ("header_patient", "header_study", "header_device")


class ImageTable(LazySequence[SeenImage]):
    """Images, each made as it is asked for: a hundred bytes an image and its path. What is about all asks for columns.

    Attributes:
        looks: of those images that were decoded, by their positions.
    """

    def __init__(self) -> None:
        self._paths = PackedStrings()  # of files; once where images of one follow each other
        self._numbers = array("i")  # file, frame, row of the table, height and width: five of each image
        self._words = {name: _Words() for name in (*_LISTED, *_FACTS)}
        self._digests = bytearray()
        self.looks: dict[int, Look] = {}

    def add(
        self, listed: Listed, facts: FileFacts, digest: bytes = bytes(DIGEST_BYTES), look: Look | None = None
    ) -> None:
        """Add an image.

        Args:
            listed: where it stands.
            facts: of its file.
            digest: see `SeenImage`.
            look: likewise.
        """
        if not len(self) or self._paths[-1] != listed.image.path:
            self._paths.append(listed.image.path)
        self._numbers.extend((len(self._paths) - 1, listed.image.frame, listed.row, facts.rows, facts.columns))
        words = (listed.split, listed.label, listed.patient, listed.device, facts.patient, facts.study, facts.device)
        for name, word in zip((*_LISTED, *_FACTS), words, strict=True):
            self._words[name].append(word)
        self._digests += digest
        if look is not None:
            self.looks[len(self) - 1] = look

    def __len__(self) -> int:
        return len(self._digests) // DIGEST_BYTES

    def _make(self, position: int) -> SeenImage:
        file, frame, row, height, width = self._numbers[5 * position : 5 * position + 5]
        path = self._paths[file]
        listed = Listed(FrameRef(path, frame), row, *(self._words[name][position] for name in _LISTED))
        patient, study, device = (self._words[name][position] for name in _FACTS)
        facts = FileFacts(path, patient, study, device, height, width)
        digest = bytes(self._digests[DIGEST_BYTES * position : DIGEST_BYTES * (position + 1)])
        return SeenImage(listed, facts, digest, self.looks.get(position))

    def codes(self, column: Word) -> NDArray[np.int32]:
        """A column of words as numbers.

        Args:
            column: its name.

        Returns:
            (N,) equal for equal words, 0 for "".
        """
        return np.array(self._words[column].codes)

    def words(self, column: Word) -> list[str]:
        """A column as words.

        Args:
            column: its name.

        Returns:
            One for each image.
        """
        return self._words[column].all()

    def devices(self) -> list[str]:
        """`SeenImage.device` of all images."""
        by_header, by_table = self.words("header_device"), self.words("device")
        return [header or table for header, table in zip(by_header, by_table, strict=True)]

    def patients(self) -> list[str]:
        """`SeenImage.patient` of all images; where nothing is known, the path of the file."""
        columns = (self.words("patient"), self.words("header_patient"), self.words("header_study"))
        files = self._numbers[0::5]
        return [
            patient or header or study or self._paths[file]
            for patient, header, study, file in zip(*columns, files, strict=True)
        ]

    def rows(self) -> NDArray[np.int32]:
        """(N,) rows of the table of labels."""
        return np.array(self._numbers[2::5])

    def shorter_sides(self) -> NDArray[np.int32]:
        """(N,) the lesser of height and width, in pixels."""
        heights, widths = (np.frombuffer(self._numbers[place::5], np.int32) for place in (3, 4))
        return np.asarray(np.minimum(heights, widths))

    def digests(self) -> NDArray[np.bytes_]:
        """(N,) digests."""
        return np.frombuffer(self._digests, f"S{DIGEST_BYTES}")


def groups(keys: NDArray[np.generic]) -> Iterator[NDArray[np.intp]]:
    """Find the values that more than one has.

    Args:
        keys: (N,).

    Yields:
        The positions of each such value, ascending; the value that comes first, first.

    Example:
        >>> [group.tolist() for group in groups(np.array([7, 5, 9, 5, 7, 7]))]
        [[0, 4, 5], [1, 3]]
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(keys) else np.array([], np.intp)
    ends = np.r_[starts[1:], len(keys)]
    several = np.flatnonzero(ends - starts > 1)
    for group in several[np.argsort(order[starts[several]])]:
        yield order[starts[group] : ends[group]]
