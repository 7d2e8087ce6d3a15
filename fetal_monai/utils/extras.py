"""Packages that only some people need: who needs which, and how it is had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fetal_monai.errors import FetalMonaiError


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Let imports fail with the name of the extra that brings them.

    Args:
        extra: of this package, see pyproject.toml.
        what: needs which package, in words.

    Raises:
        FetalMonaiError: if an import in the block fails.

    Example:
        >>> with needing("node", "the node needs pynetdicom"):
        ...     import no_such_package
        Traceback (most recent call last):
        fetal_monai.errors.FetalMonaiError: the node needs pynetdicom (No module named 'no_such_package'); install it: \
pip install 'fetal_monai[node]'
    """
    try:
        yield
    except ImportError as error:
        raise FetalMonaiError(f"{what} ({error}); install it: pip install 'fetal_monai[{extra}]'") from None
