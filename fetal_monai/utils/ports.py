"""A port that a server is to listen on and cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fetal_monai.errors import InputError


@contextmanager
def listening(address: tuple[str, int], option: str) -> Iterator[None]:
    """Let the opening of a server fail with the option that names its port.

    Args:
        address: host and port.
        option: of the command line.

    Raises:
        InputError: if the block cannot have the port: another program has it, it is none, or it is not allowed.

    Example:
        >>> import socket
        >>> with listening(("127.0.0.1", 70_000), "--port"), socket.socket() as server:
        ...     server.bind(("127.0.0.1", 70_000))
        Traceback (most recent call last):
        fetal_monai.errors.InputError: --port: 1 problem
          127.0.0.1, port 70000, cannot be used (bind(): port must be 0-65535.); another program may have it: name \
another port
    """
    try:
        yield
    except (OSError, OverflowError) as error:
        problem = f"cannot be used ({error}); another program may have it: name another port"
        raise InputError(option, [f"{address[0]}, port {address[1]}, {problem}"]) from None
