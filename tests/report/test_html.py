import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from fetal_monai.dicom.frame_ref import FrameRef
from fetal_monai.report import html
from fetal_monai.report.evaluation import evaluate
from fetal_monai.report.explain import Faithfulness
from fetal_monai.report.gallery import ExplainedError
from fetal_monai.report.html import Section, write_report
from fetal_monai.report.pictures import data_uri


@pytest.fixture
def report(splits, tmp_path, monkeypatch):
    """A report whose frames are flat grey: the level of each is known."""
    test, validation = splits
    found = evaluate(test, validation, replicates=50)
    frames = {key: FrameRef(str(row), key[1]) for row, key in enumerate(test.keys)}
    monkeypatch.setattr(html, "read_frame", lambda ref: np.full((60, 80, 3), int(ref.path) * 2, np.uint8))
    picture = data_uri(np.zeros((60, 80, 3), np.uint8))
    overlays = {"shallow": picture, "detailed": picture}
    error = ExplainedError("1.2.3", "Femur", "Other", 0.93, picture, overlays, Faithfulness(0.2, 0.6, 0.4, 0.4))
    card = [Section("Use", [("Intended use", "Research.")])]
    path = write_report(found, tmp_path / "report.html", frames=frames, errors=[error], model_card=card, title="Test")
    return path, found


def test_it_stands_alone_and_shows_text_as_text(report):
    text = report[0].read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "@import" not in text
    assert "url(http" not in text
    assert "<b>more</b>" not in text
    assert "Cervix &amp; &lt;b&gt;more&lt;/b&gt;" in text
    assert "Not a medical device" in text
    assert len(re.findall(r'\bid="([^"]+)"', text)) == len(set(re.findall(r'\bid="([^"]+)"', text)))


def test_the_images_of_a_cell_are_those_of_the_table(report):
    path, found = report
    cells = json.loads(re.search(r'id="cells">(.*?)</script>', path.read_text(), re.DOTALL).group(1))
    table = found.predictions
    for true in range(5):
        for predicted in range(5):
            rows = np.flatnonzero((table.labels == true) & (table.predicted == predicted))
            best = [table.sop_instance_uids[i] for i in rows[np.argsort(-table.confidence[rows])][:12]]
            shown = [image["name"] for image in cells.get(f"{true}-{predicted}", {"images": []})["images"]]
            assert shown == best


def test_every_step_of_the_heat_scale_can_be_read():
    def contrast(a, b):
        brighter, darker = sorted(
            (html.luminance([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (a, b)), reverse=True
        )
        return (brighter + 0.05) / (darker + 0.05)

    for step in range(html.HEAT_STEPS + 1):
        colours = html._heat(step / html.HEAT_STEPS)
        assert contrast(colours["light"], colours["light_text"]) >= 4.5
        assert contrast(colours["dark"], colours["dark_text"]) >= 4.5


def test_without_pictures_and_without_validation_it_says_so(splits, tmp_path):
    text = write_report(evaluate(splits[0], replicates=50), tmp_path / "report.html").read_text()
    assert "no validation split was given" in text
    assert "this needs the model folder" in text
    assert "<button" not in text.split('id="classes"')[0]


def test_a_section_of_ones_own_is_shown_as_text_and_one_that_fails_costs_nobody_the_rest(splits, tmp_path, caplog):
    def good(evaluation):
        return Section("Sites & <i>more</i>", [("Images", f"{evaluation.metrics['images']} <b>all</b>")])

    def bad(evaluation):
        return evaluation.metrics["site"]

    path = write_report(evaluate(splits[0], replicates=50), tmp_path / "report.html", sections=[good, bad])
    text = path.read_text()
    assert '<a href="#own-0">Sites &amp; &lt;i&gt;more&lt;/i&gt;</a>' in text
    assert "<dt>Images</dt><dd>120 &lt;b&gt;all&lt;/b&gt;</dd>" in text
    assert "KeyError: &#39;site&#39;" in text
    assert text.index('id="errors"') < text.index('id="own-0"') < text.index('id="own-1"') < text.index('id="model"')
    assert "bad failed and is left out" in caplog.text


@pytest.mark.thorough
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 375)])
def test_in_a_browser(report, chromium, scheme, width):
    path, found = report
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())

    counts = found.metrics["confusion_matrix"]
    page.locator('.cell[data-cell="0-0"]').focus()
    page.keyboard.press("Enter")
    assert page.locator("#cell-images img").count() == min(12, counts[0][0])
    assert f"Femur recognised: {counts[0][0]} of {sum(counts[0])}" in page.locator("#cell-images h3").inner_text()
    best = int(np.argmax(np.where((found.predictions.labels == 0) & (found.predictions.predicted == 0),
                                  found.predictions.confidence, 0)))  # fmt: skip
    grey = page.locator("#cell-images img").first.evaluate(
        "i => {const c = document.createElement('canvas').getContext('2d'); c.drawImage(i, 0, 0);"
        "return c.getImageData(10, 10, 1, 1).data[0]}"
    )
    assert abs(grey - best * 2) <= 2

    page.get_by_role("button", name="Recall").click()
    recalls = [
        float(cell.get_attribute("data-key")) for cell in page.locator("#class-table tbody tr td:nth-child(4)").all()
    ]
    assert recalls == sorted(recalls, reverse=True)
    assert page.locator("th[aria-sort=descending]").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []

    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None:
        pytest.skip("axe-playwright-python is not installed")
    # The page's own policy forbids foreign scripts; axe goes into a context that may bypass it.
    checked = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page = checked.new_page()
    page.goto(path.as_uri())
    page.locator('.cell[data-cell="0-0"]').click()
    page.add_script_tag(path=Path(spec.origin).parent / "axe.min.js")
    found = page.evaluate("axe.run()")["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
