"""What a node says of files in its log and on its page: never a value of their headers, which may be a name."""

from __future__ import annotations

import re

_PARSERS_WORDS = re.compile(r"(it is damaged: \w+): .*?(?=; export the file again|\Z)", re.DOTALL)  # see dicom/blame.py
_QUOTED = re.compile(r"""(?<!\w)(['"]).*?\1(?!\w)""", re.DOTALL)  # apostrophes stand within words


def without_values(message: str) -> str:
    """Leave out what a message quotes.

    Args:
        message: of an error.

    Returns:
        The message, with dots where values stood.

    Example:
        >>> without_values("NumberOfFrames is 'Doe^Jane', not a number"), without_values("it is damaged: KeyError: Doe")
        ('NumberOfFrames is ..., not a number', 'it is damaged: KeyError')
        >>> without_values("O'Brien/a.dcm: Rows is 'Doe^O'Neill', not a number")
        "O'Brien/a.dcm: Rows is ..., not a number"
    """
    return _QUOTED.sub("...", _PARSERS_WORDS.sub(r"\1", message))
