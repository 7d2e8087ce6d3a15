"""Headless Chromium as the tests drive it."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FLAGS += ["--disable-sync", "--no-first-run"]
SIZES = [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)]


@contextmanager
def open_chromium() -> Iterator[Any]:
    """Yield a browser that asks for nothing of its own; skip the test where none is installed."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path, scheme: str = "light", width: int = 1280, **options: Any) -> Iterator[Any]:
    """Open a file; fail the test if the page says anything on the console, or asks for anything but its pictures.

    Motion is reduced: a page that is still scrolling to where the focus went moves away under the next click.
    """
    size = {"width": width, "height": 900}
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", **options)
    page = context.new_page()
    seen: list[str] = []
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: seen.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert [entry for entry in seen if entry != path.as_uri() and not entry.startswith("data:image/jpeg")] == []


def violations(page: Any) -> list[tuple[str, str]]:
    """Serious and critical findings of axe."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None:
        pytest.skip("axe-playwright-python is not installed")
    page.add_script_tag(path=Path(spec.origin).parent / "axe.min.js")
    found = page.evaluate("axe.run()")["violations"]
    return [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
