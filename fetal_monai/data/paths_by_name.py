"""From the name that a table gives a file to the paths that it may mean."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable
from os import PathLike

from fetal_monai.data.image_names import bare, path_parts


class PathsByName:
    """Files below a folder by the last parts of their paths, however many share them.

    Paths are kept back to front in their order, so that all with the same last parts stand side by side.

    Args:
        folder: where names begin.
        paths: the files below it, as they are found from it.

    Example:
        >>> paths = PathsByName("data", ["data/s0/IM_1.dcm", "data/s1/IM_1.dcm", "data/s1/IM_2.dcm"])
        >>> paths.find("s1/IM_1"), paths.find("data/s1/IM_1.dcm"), paths.find("IM_2"), paths.find("s2/IM_1")
        (['data/s1/IM_1.dcm'], ['data/s1/IM_1.dcm'], ['data/s1/IM_2.dcm'], [])
        >>> paths.find("IM_1")
        ['data/s0/IM_1.dcm', 'data/s1/IM_1.dcm']
    """

    def __init__(self, folder: str | PathLike[str], paths: Iterable[str]) -> None:
        self._top = _backwards(_parts(folder))
        known = sorted((_key(_parts(path)), path) for path in paths)
        self._keys = [key for key, _ in known]
        self._paths = [path for _, path in known]

    def find(self, name: str, most: int = 4) -> list[str]:
        """Find what a name may mean, with or without `.dcm`.

        Args:
            name: a path below the folder, which means that file and no other; or the last parts of a path, which may
                begin further down, above the folder, or be the file alone.
            most: how many paths are enough to see that there are several.

        Returns:
            The paths: one, unless the name means nothing or could mean several files.
        """
        parts = path_parts(name)
        if not parts:
            return []
        if "/" in name and (here := self._beginning(_key(parts) + self._top, most)):
            spelt = [path for path in here if path.endswith(f"/{parts[-1]}")]  # one may have no suffix, another has
            return spelt or here
        return self._beginning(_key(parts), most)

    def _beginning(self, key: str, most: int) -> list[str]:
        first = bisect_left(self._keys, key)
        places = range(first, min(first + most, len(self._keys)))
        return [self._paths[place] for place in places if self._keys[place].startswith(key)]


def _parts(path: str | PathLike[str]) -> list[str]:
    return os.path.abspath(path).split("/")  # noqa: PTH100  # a hundred thousand Path objects are not free


def _key(parts: list[str]) -> str:
    """A path back to front, without the suffix of the file."""
    *folders, file = parts
    return _backwards([*folders, bare(file)])


def _backwards(parts: list[str]) -> str:
    return "".join(f"{part}/" for part in reversed(parts))
