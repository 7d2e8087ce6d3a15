"""The MONAI Bundle that comes with the package: where it is, and a copy of it to edit.

In a checkout it is the top-level folder `bundle`; a wheel carries it inside the package. Importing this module needs
neither torch nor MONAI.
"""

from __future__ import annotations

import shutil
from os import PathLike
from pathlib import Path

from fetal_monai.errors import InputError
from fetal_monai.utils.files import atomic_folder

_PACKAGE = Path(__file__).parents[1]
_PLACES = (_PACKAGE / "_bundle", _PACKAGE.parent / "bundle")
_MADE = {"models", "eval"}  # by runs, in a checkout


def bundle_root() -> Path:
    """Find the bundle.

    Returns:
        The folder with `configs/` and `docs/`. Of an installed package it is only to be read.

    Raises:
        InputError: if this installation carries none.

    Example:
        >>> (bundle_root() / "configs" / "train.yaml").is_file()
        True
    """
    for folder in _PLACES:
        if (folder / "configs" / "train.yaml").is_file():
            return folder
    problem = "this installation carries no bundle; install fetal_monai again, from a wheel or a checkout"
    raise InputError(_PLACES[0], [problem])


def copy_bundle(out: str | PathLike[str]) -> Path:
    """Copy the bundle, without what runs have made in it, to be edited.

    Args:
        out: the folder to make. A run that is ended midway leaves none.

    Returns:
        `out`, with `configs/train.yaml` and all that belongs to it.

    Raises:
        InputError: if `out` is there already or cannot be written, or this installation carries no bundle.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> sorted(path.name for path in (copy_bundle(Path(folder, "mine")) / "configs").glob("*.yaml"))
        ['evaluate.yaml', 'inference.yaml', 'multi_gpu_evaluate.yaml', 'multi_gpu_train.yaml', 'train.yaml']
    """
    out, source = Path(out), bundle_root()
    if out.exists() or out.is_symlink():
        raise InputError(out, ["it is there already; name a folder that is not, or move this one away"])
    files = [path for path in source.rglob("*") if path.is_file() and path.relative_to(source).parts[0] not in _MADE]
    try:
        with atomic_folder(out) as fresh:
            for path in files:
                copy = fresh / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)  # not its permissions: those of an installed package may forbid editing
    except OSError as error:
        problem = f"it cannot be written ({error.strerror or error}); name a folder in a place that is yours"
        raise InputError(out, [problem]) from error
    return out
