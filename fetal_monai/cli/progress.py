"""How far a command is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[float, int | None], None]]:
    """Show a bar on standard error, from the first step to the end: a mistake is told without one.

    Args:
        what: is done, or counted.

    Yields:
        What to call with how much is done, and how much there is; None where that is not known.

    Example:
        >>> with progress_bar("Files") as tell:
        ...     tell(1, 2)
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
