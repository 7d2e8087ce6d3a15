"""What MkDocs does besides the pages of docs/: the API from the package's tree, and files from elsewhere.

A page links to its neighbours as the repository has them (`../CHANGELOG.md`, `../fetal_monai/x/y.json`), so that links
work where the repository is browsed. Here a page from outside of docs/ becomes a page of the site, another file is
copied to `files/`, and the links are turned to them.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fetal_monai"
PAGES = {  # what is not in docs/, and the page that it is on the site
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "bundle/docs/README.md": "bundle.md",
}
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the entry "API" of the navigation."""
    for entry in config.nav or []:
        if isinstance(entry, dict) and "API" in entry:
            entry["API"] = [{title: f"api/{title}.md"} for title in _rooms()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for source, uri in PAGES.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    for title, modules in _rooms().items():
        files.append(File.generated(config, f"api/{title}.md", content=_api_page(title, modules)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links from the repository's layout to the site's."""
    here = page.file.src_uri
    origin = {uri: source for source, uri in PAGES.items()}.get(here, f"docs/{here}")

    def turn(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), match[2]))
        if target.startswith("..") or not (ROOT / target).is_file():
            return match[0]
        uri = _uri(target)
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / target)))
        relative = posixpath.relpath(uri, posixpath.dirname(here) or ".")
        return f"{match[1]}{relative}{match[3] or ''})"

    return LINK.sub(turn, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Name what Material leaves nameless to a screen reader."""
    del page, config
    return output.replace(
        'data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'
    )


def _uri(target: str) -> str:
    """Where a file of the repository is on the site."""
    if target in PAGES:
        return PAGES[target]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"files/{target}"


def _rooms() -> dict[str, list[str]]:
    """The API's pages: the modules of each package, and those of the hall together; underscored ones are nobody's."""
    rooms: dict[str, list[str]] = {"fetal_monai": []}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = [part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__"]
        if not any(part.startswith("_") for part in parts):
            room = parts[0] if parts and (PACKAGE / parts[0]).is_dir() else "fetal_monai"
            rooms.setdefault(room, []).append(".".join(["fetal_monai", *parts]))
    return rooms


def _api_page(title: str, modules: list[str]) -> str:
    name = title if title == "fetal_monai" else f"fetal_monai.{title}"
    lines = [f"# {name}", ""]
    for module in sorted(modules):
        package = (ROOT / module.replace(".", os.sep)).is_dir()
        heading: dict[str, Any] = {"heading_level": 2}
        if package:  # what it gathers from its modules is described there
            heading |= {"members": False}
        if module == name:
            heading |= {"show_root_heading": False, "show_root_toc_entry": False}
        lines += [f"::: {module}", f"    options: {heading}", ""]
    return "\n".join(lines)
