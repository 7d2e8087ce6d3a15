"""Texts from files in tables that people open in a spreadsheet."""

from __future__ import annotations


def cell(text: str) -> str:
    """Give a text that a spreadsheet does not take for a formula.

    Args:
        text: of a cell; from a file, so that somebody else may have chosen it.

    Returns:
        The text, after an apostrophe where it begins as a formula does.

    Example:
        >>> cell("1.2.3"), cell("=HYPERLINK(A1)")
        ('1.2.3', "'=HYPERLINK(A1)")
    """
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
