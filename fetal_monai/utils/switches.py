"""Settings that are either true or false, whatever a configuration or a command line made of them."""

from __future__ import annotations

from collections.abc import Mapping

from fetal_monai.errors import InputError


def require_switches(switches: Mapping[str, object]) -> None:
    """Refuse words where there has to be True or False.

    A command line is read as Python, so that `--overwrite false` gives a word, and any word counts as true.

    Args:
        switches: values by the names of their settings.

    Raises:
        InputError: if a value is neither True nor False, nor 1 or 0.

    Example:
        >>> require_switches({"resume": True, "overwrite": "false"})
        Traceback (most recent call last):
        fetal_monai.errors.InputError: the configuration: 1 problem
          overwrite is 'false', a word; write True or False
    """
    problems = [
        f"{name} is {value!r}{', a word' if isinstance(value, str) else ''}; write True or False"
        for name, value in switches.items()
        if not (isinstance(value, (bool, int)) and value in {True, False})
    ]
    if problems:
        raise InputError("the configuration", problems)
