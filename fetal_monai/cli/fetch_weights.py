"""`fetal-monai fetch-weights`: published ImageNet weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def fetch_weights(
    architectures: Annotated[
        list[str] | None, typer.Argument(help="Such as efficientnet-b0 efficientnet-b6 resnet18 densenet201.")
    ] = None,
    *,
    url: Annotated[str | None, typer.Option(help="Fetch this file instead; needs --sha256.")] = None,
    sha256: Annotated[str, typer.Option(help="Its SHA-256, or the first digits of it.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Where to put the files; by default torch.hub's.")] = None,
) -> None:
    """Fetch published ImageNet weights and check them: the only command that downloads."""
    from fetal_monai.networks.imagenet import fetch, fetch_published  # noqa: PLC0415

    if bool(url) == bool(architectures) or bool(url) != bool(sha256):
        raise typer.BadParameter("give architectures, or --url with --sha256")
    for path in [fetch(url, sha256, folder)] if url else (fetch_published(a, folder) for a in architectures or ()):
        typer.echo(path)
