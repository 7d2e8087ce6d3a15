"""The page of a check: the two images of a pair side by side, whatever files are called, and each class."""

from __future__ import annotations

import pytest

from browser import opened, violations
from fetal_monai.data.checks import DataReport, Finding, check_data
from fetal_monai.dicom import FrameRef, index_dicom
from fetal_monai.report import check_page
from fetal_monai.report.check_page import write_check_page

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def report(phantom):
    """What is said of the phantom, and some that is made up."""
    said = check_data(phantom, phantom / "annotations.csv")
    stills = [FrameRef(entry.path) for entry in index_dicom(phantom / "dicom").values() if entry.frames == 1]
    one, other = stills[:2]
    made_up = [
        Finding("error", "near_duplicate", f"{HOSTILE} look the same", (2, 3), (one, other)),
        Finding("warning", "size", "an image that is gone", (4,), (FrameRef(f"{HOSTILE}.dcm", 3),)),
        Finding("note", "unlisted", "nothing to see"),
    ]
    return DataReport(said.images, True, said.counts, [*made_up, *said.findings], said.examples)


@pytest.mark.thorough
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_it_shows_what_was_found(report, tmp_path, chromium, scheme, width):
    path = write_check_page(report, tmp_path / "check.html")
    with opened(chromium, path, scheme, width) as page:
        assert page.locator(".verdict").inner_text() == f"{report.images} images: not fine yet."
        pair = page.locator("#error li").first
        assert pair.inner_text().startswith(f"{HOSTILE} look the same")
        assert pair.locator("img").count() == 2
        assert all(pair.locator("img").nth(place).evaluate("image => image.naturalWidth") > 50 for place in (0, 1))
        gone = page.locator("#warning li").filter(has_text="an image that is gone")
        assert "it cannot be read" in gone.inner_text()
        assert f"{HOSTILE}.dcm, frame 3" in gone.inner_text()
        assert page.locator("#note li").filter(has_text="nothing to see").locator("img").count() == 0
        assert page.locator("#classes h3").all_inner_texts() == list(report.examples)
        assert page.locator("#classes img").count() == sum(len(images) for images in report.examples.values())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with opened(chromium, path, scheme, width, bypass_csp=True) as page:
        assert violations(page) == []


def test_examples_are_of_different_patients(report, phantom):
    patients = {entry.path: uid for uid, entry in index_dicom(phantom / "dicom").items()}
    assert report.examples
    for images in report.examples.values():
        assert 1 <= len(images) <= 6
        assert len({patients[image.path] for image in images}) == len(images)


def test_findings_beyond_the_limit_stand_without_pictures(report, tmp_path, monkeypatch):
    monkeypatch.setattr(check_page, "MOST_PICTURED", 1)
    text = write_check_page(report, tmp_path / "check.html").read_text()
    assert "1 findings stand here without their pictures" in text
    assert text.count("<img ") == 2 + sum(len(images) for images in report.examples.values())
    assert "an image that is gone" in text
