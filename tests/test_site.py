"""The documentation as a site: built without a warning, complete, and readable by everybody without a network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from browser import open_chromium

pytestmark = pytest.mark.thorough

pytest.importorskip("material", reason="mkdocs-material is not installed")
pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed")

CHECKED = ["index.html", "evaluation.html", "api/metrics.html"]


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == ""
    return out


def test_every_module_is_in_the_api(site, root):
    pages = "".join(path.read_text() for path in (site / "api").glob("*.html"))
    found = set(re.findall(r'id="(fetal_monai[\w.]*)"', pages))
    for path in (root / "fetal_monai").rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name.count(".") and not any(part.startswith("_") for part in name.split(".")):
            assert name in found or (site / f"api/{name.removeprefix('fetal_monai.')}.html").exists(), name
    assert "fetal_monai.inference.predictor.Predictor" in found
    assert "Example:" not in re.sub(r"<code.*?</code>", "", pages, flags=re.DOTALL)


def test_nothing_comes_from_elsewhere(site):
    for path in site.rglob("*.html"):
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", path.read_text()):
            assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", tag), f"{path.name}: {tag}"


@pytest.fixture(scope="module")
def browser():
    with open_chromium() as browser:
        yield browser


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 375)])
@pytest.mark.parametrize("name", CHECKED)
def test_a_page_is_readable_by_everybody(site, browser, name, scheme, width):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(120_000)
    said, asked = [], []
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / name).as_uri())
    assert page.locator("body").get_attribute("data-md-color-scheme") == {"light": "default", "dark": "slate"}[scheme]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is not None:
        page.add_script_tag(path=Path(spec.origin).parent / "axe.min.js")
        violations = page.evaluate("axe.run()")["violations"]
        serious = [found for found in violations if found["impact"] in ("serious", "critical")]
        assert [(found["id"], [node["html"][:200] for node in found["nodes"]]) for found in serious] == []
    context.close()


def test_the_search_finds_something_without_a_server(site, browser):
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto((site / "index.html").as_uri())
    page.locator(".md-search__input").first.click()
    page.keyboard.type("conformal")
    page.wait_for_selector(".md-search-result__item")
    assert "Calibration and decisions" in page.locator(".md-search-result__list").inner_text()
    page.close()
