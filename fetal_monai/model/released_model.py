"""The model that comes with the package and is used when none is named; `fetal_monai.model.release_writer` writes it.

Its `model.json` lists the files with their sizes and digests, so that what an interrupted download, a checkout without
its large files or a disk did to them is told as such. Importing this module needs neither torch nor MONAI.
"""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

from fetal_monai.errors import InputError
from fetal_monai.model.facts import FACTS_FILE
from fetal_monai.model.file_digests import FILES, check_files

RELEASED = Path(__file__).parents[1] / "released" / "fetal_planes"
_ELSE = "or name a model folder of your own"
_REINSTALL = f"install fetal_monai again (pip install --force-reinstall --no-deps fetal_monai), {_ELSE}"


def released_model() -> Path:
    """Find the released model, whole.

    Returns:
        Its folder. It is only to be read: it belongs to the installed package.

    Raises:
        InputError: if this installation has none, or a file of it is missing or damaged.

    Example:
        >>> from fetal_monai.inference import Predictor
        >>> Predictor(released_model())  # the same as Predictor()  # doctest: +SKIP
    """
    if not RELEASED.is_dir() or not any(RELEASED.iterdir()):
        problem = "no model comes with this installation; train one (README, 'Your own data') and name its folder"
        raise InputError(RELEASED, [problem])
    check_files(RELEASED, _release()[FILES], remedy=_REINSTALL)
    return RELEASED


def released_notice() -> str:
    """Say in one line which model is used when none is named.

    Returns:
        Name, version, classes, and that it is no medical device.

    Raises:
        InputError: if there is no released model, or its description is damaged.
    """
    release = _release()
    names = release["class_names"]
    return (
        f"Model: {release['name']} {release['version']}, which comes with fetal_monai; {len(names)} classes: "
        f"{', '.join(names)}. Research software, not a medical device."
    )


def is_released(folder: str | PathLike[str]) -> bool:
    """Whether a folder is that of the released model, which nothing may be written to.

    Args:
        folder: a model folder.
    """
    return Path(folder).resolve() == RELEASED.resolve()


def _release() -> dict[str, Any]:
    path = RELEASED / FACTS_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        release = {name: content["release"][name] for name in ("name", "version")}
        files = {
            name: {"bytes": int(listed["bytes"]), "sha256": str(listed["sha256"])}
            for name, listed in content["release"][FILES].items()
        }
        return {**release, FILES: files, "class_names": list(content["class_names"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"is missing or damaged ({type(error).__name__}); {_REINSTALL}"
        raise InputError(path, [problem]) from None
