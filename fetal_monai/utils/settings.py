"""Settings that a command line gives and no configuration has: misspelt ones, most likely."""

from __future__ import annotations

import difflib
import inspect
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from fetal_monai.errors import InputError

_OPTION = re.compile(r"--([^=]+)")
_FILE = re.compile(r"[^\s'\"\[\]=,%]+\.(?:yaml|yml|json)(?![\w.])")


def config_files(text: str) -> list[Path]:
    """Name the configurations in a word of a command line.

    Args:
        text: such as `['train.yaml','mine.yaml']`.

    Returns:
        Their paths.

    Example:
        >>> [path.name for path in config_files("--config_file=['configs/train.yaml', 'mine.json']")]
        ['train.yaml', 'mine.json']
    """
    return [Path(name) for name in _FILE.findall(text)]


def refuse_unknown_settings(arguments: Sequence[str]) -> None:
    """Refuse options that none of the configurations knows: MONAI would add them, and nothing would read them.

    Args:
        arguments: of a run, with `--config_file`; without it, or with `--args_file`, nothing is refused.

    Raises:
        InputError: with what was probably meant.

    Example:
        >>> from fetal_monai.utils.bundle import bundle_root
        >>> train = bundle_root() / "configs" / "train.yaml"
        >>> refuse_unknown_settings(["training", "--config_file", str(train), "--max_epoch", "3"])
        Traceback (most recent call last):
        fetal_monai.errors.InputError: the command line: 1 problem
          --max_epoch is no setting of these configurations; did you mean --max_epochs?
    """
    from monai.bundle import ConfigParser, run  # noqa: PLC0415

    names = [match[1].replace("-", "_") for word in arguments if (match := _OPTION.match(word))]
    words = [f"{option}={value}" for option, value in itertools.pairwise(arguments)] + list(arguments)
    chosen = [word for word in words if re.match(r"--config[_-]file=", word)]
    files = config_files(chosen[-1]) if chosen else []
    if "args_file" in names or not files or not all(path.is_file() for path in files):
        return
    known = [*inspect.signature(run).parameters, *ConfigParser.load_config_files([str(path) for path in files])]
    problems = []
    for name in names:
        if re.split("#|::", name)[0] not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean --{near[0]}?" if near else "leave it out, or add it to a configuration of yours"
            problems.append(f"--{name} is no setting of these configurations; {hint}")
    if problems:
        raise InputError("the command line", problems)
