"""The pages that people look at: one file each that needs nothing else, in one style."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import fetal_monai
from fetal_monai.model.facts import NOTICE
from fetal_monai.utils.files import atomic_path


def write_page(template: str, path: str | os.PathLike[str], /, **content: Any) -> Path:
    """Fill a template and write the page, whole or not at all.

    Args:
        template: its file in `templates`, an extension of `page.html`.
        path: the .html file.
        content: what the template names, `title` among it; text is escaped, whatever is in it.

    Returns:
        The path.
    """
    text = render_page(template, **content)
    target = Path(path)
    with atomic_path(target) as temporary:
        # A name of a file may hold bytes that are no UTF-8; they are shown, and cost nobody the page.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    return target


def render_page(template: str, /, **content: Any) -> str:
    """Fill a template.

    Args:
        template: its file in `templates`, an extension of `page.html`.
        content: what the template names, `title` among it; text is escaped, whatever is in it. With a `nonce`, the page
            holds no policy: a server sends one beside it that lets style and script of this nonce through.

    Returns:
        The page.
    """
    return _templates().get_template(template).render(notice=NOTICE, version=fetal_monai.__version__, **content)


@cache
def _templates() -> Environment:
    """Keeps what it has compiled: one page takes longer to compile than a hundred to fill."""
    return Environment(
        loader=PackageLoader("fetal_monai.report"),
        autoescape=True,
        auto_reload=False,  # else each page asks the disk whether templates have changed
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
