"""Settings of a command line that cannot be meant: of names that no configuration has, or words for what is none."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

from fetal_monai.errors import InputError
from fetal_monai.utils.bundle import bundle_root

_OPTION = re.compile(r"--([^=]+)")
_LEAST = {"max_epochs": 1, "val_interval": 1, "batch_size": 1, "accumulate": 1, "num_workers": 0}  # of what is counted
_SHARES = ("dropout", "banner_fraction", "cache_rate")
_DEVICE = re.compile(r"cpu|cuda(:\d+)?|mps")
_RUN = "training"  # what the configuration of a whole run has, and overlays have not
_BASES = {_RUN: _RUN, "evaluating": "validate"}  # what a run id needs, which its own overlay does not have
_NOTHING = re.compile("null|none|nil|~", re.IGNORECASE)
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


def refuse_wrong_settings(arguments: Sequence[str]) -> None:
    """Refuse names that no configuration has, words where there should be numbers, and overlays in the wrong place.

    MONAI would add the first, and nothing would read them; the second would end in a library's traceback; of overlays
    before the configuration of the whole run nothing would be left.

    Args:
        arguments: of a run, with `--config_file`; without it, or with `--args_file`, nothing is refused.

    Raises:
        InputError: with what was probably meant.

    Example:
        >>> from fetal_monai.utils.bundle import bundle_root
        >>> train = bundle_root() / "configs" / "train.yaml"
        >>> refuse_wrong_settings(["training", "--config_file", str(train), "--max_epoch", "3", "--batch_size=0"])
        Traceback (most recent call last):
        fetal_monai.errors.InputError: the command line: 2 problems
          --max_epoch is no setting of these configurations; did you mean --max_epochs?
          --batch_size is '0'; give a whole number, 1 or more
    """
    from monai.bundle import ConfigParser, run  # noqa: PLC0415

    given = list(_given(arguments))
    names = [name for name, _ in given]
    chosen = [value for name, value in given if name == "config_file"]
    files = config_files(chosen[-1]) if chosen else []
    if "args_file" in names or not files or not all(path.is_file() for path in files):
        return
    contents = {path: _content(path) for path in files}
    if problems := _misplaced(contents) or _without_base(arguments, contents):
        raise InputError("--config_file", problems)
    defaults = ConfigParser.load_config_files([str(path) for path in files])
    known = [*inspect.signature(run).parameters, *defaults]
    problems = _misspelt(contents)
    for name, value in given:
        if name == "device" and _DEVICE.fullmatch(value) and "torch.device" in str(defaults.get(name)):
            problems.append(f"--device is '{value}', a word; write --device \"$torch.device('{value}')\"")
        if re.split("#|::", name)[0] not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean --{near[0]}?" if near else "leave it out, or add it to a configuration of yours"
            problems.append(f"--{name} is no setting of these configurations; {hint}")
        elif wrong := _wrong_value(name, value, defaults.get(name)):
            problems.append(f"--{name} is '{value}'; {wrong}")
    if problems:
        raise InputError("the command line", problems)


def _content(path: Path) -> dict[str, object]:
    from monai.bundle import ConfigParser  # noqa: PLC0415

    content = ConfigParser.load_config_file(str(path))
    if not isinstance(content, dict):
        raise InputError(path, ["it holds no settings; give a configuration: names, colons and values"])
    return content


def _misplaced(contents: Mapping[Path, Mapping[str, object]]) -> list[str]:
    """Name what stands before the configuration of a whole run, which would replace it without a word."""
    problems: list[str] = []
    before = dict[Path, Mapping[str, object]]()
    for base, content in contents.items():
        if _RUN in content:
            for path, overlay in before.items():
                if lost := ", ".join(sorted({_top(key) for key in overlay} & content.keys())):
                    problems.append(f"{path} stands before {base}, which replaces its {lost}; name {base.name} first")
            break
        before[base] = content
    return problems


def _without_base(arguments: Sequence[str], contents: Mapping[Path, Mapping[str, object]]) -> list[str]:
    """Say that there are only changes to a configuration, and not the configuration."""
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    if wanted not in _BASES or any({_RUN, _BASES[wanted]} & content.keys() for content in contents.values()):
        return []
    return [f"{', '.join(path.name for path in contents)} only change a training; name train.yaml before"]


def _misspelt(contents: Mapping[Path, Mapping[str, object]]) -> list[str]:
    """Name settings of files of a person's own that nothing reads, and that look like others that are read."""
    first, *overlays = contents
    ours = bundle_root().resolve()
    texts = "\n".join(path.read_text(encoding="utf-8") for path in contents)
    problems = []
    for path in overlays:
        known = [_top(key) for other in contents if other != path for key in contents[other]]
        for key in map(_top, contents[path]):
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
            read = re.search(rf"[@%]{re.escape(key)}\b", texts)
            if near and key not in known and not read and not path.resolve().is_relative_to(ours):
                problems.append(f"{path}: nothing reads its {key}; did you mean {near[0]}?")
    return problems if _RUN in contents[first] else []


def _top(key: str) -> str:
    """The first part of the name of a setting: of what is added (+), or within another (#, ::)."""
    return re.split("#|::", key.lstrip("+~"))[0]


def _given(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options and the words that stand after them, or after their equals signs."""
    for word, after in zip(arguments, [*arguments[1:], ""], strict=True):
        if match := _OPTION.match(word):
            yield match[1].replace("-", "_"), word[match.end() + 1 :] if match.end() < len(word) else after


def _wrong_value(name: str, value: str, default: object) -> str | None:
    """What to give instead where a configuration has a switch, a number or nothing; expressions may be meant."""
    from fire.parser import DefaultParseValue  # noqa: PLC0415  # as Fire will read it

    found = DefaultParseValue(value)
    word = isinstance(found, str)
    wrong = None
    if word and found[:1] in ("$", "@", "%"):
        return None
    if isinstance(default, bool):  # nothing, and another option, stand for True
        wrong = None if value == "" or value.startswith("--") or found in (True, False) else "give True or False"
    elif default is None:
        wrong = "give None for nothing" if word and _NOTHING.fullmatch(found) else None
    elif _is_number(default):
        wrong = f"give a number, such as {default}" if word else _out_of_bounds(name, found)
    return wrong if wrong and _kind(default) == _kind_of_ours(name) else None  # it takes a while to look at ours


def _out_of_bounds(name: str, given: object) -> str | None:
    """What to give instead of a number that makes no sense."""
    if name in _LEAST and not (_is_number(given) and isinstance(given, int) and given >= _LEAST[name]):
        return f"give a whole number, {_LEAST[name]} or more"
    if name in _SHARES and not (_is_number(given) and 0 <= given <= 1):
        return "give a share, from 0 to 1"
    return None


def _kind_of_ours(name: str) -> object:
    """What our own training has: what a value means in a configuration of somebody else is theirs to say."""
    from monai.bundle import ConfigParser  # noqa: PLC0415

    ours = ConfigParser.load_config_files(str(bundle_root() / "configs" / "train.yaml"))
    return _kind(ours[name]) if name in ours else None


def _kind(value: object) -> type:
    """Switch, number, nothing or anything else; a whole number may stand for another."""
    return float if _is_number(value) else type(value)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
