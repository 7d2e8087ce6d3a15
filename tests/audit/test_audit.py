"""Models that are known to read the banner, or the anatomy: the audit says of each what it does."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from browser import opened, violations
from fetal_monai.audit.audit import audit_model
from fetal_monai.audit.page import write_audit_page
from fetal_monai.audit.verdict import Verdict
from fetal_monai.dicom import FrameRef
from fetal_monai.errors import InputError
from fetal_monai.inference import Prediction, ReadFailure
from made_predictions import IDENTITY

CLASSES = ("Femur", "Abdomen", "Thorax")
GREY = np.array([60, 130, 200])
SIZE = (150, 120)


class Reader:
    """Tells the class from the grey of some rows."""

    class_names = CLASSES

    def __init__(self, rows):
        self.rows = rows

    def predict(self, inputs):
        for frame in inputs:
            grey = np.median(frame.pixels[:, self.rows])
            closest = np.zeros(3)
            closest[int(np.abs(GREY - grey).argmin())] = 1
            yield Prediction(frame.source, None, -1, closest, CLASSES, CLASSES[int(closest.argmax())], IDENTITY)


class Afraid(Reader):
    """Reads the anatomy, unless the top of the screen is black, which it has never seen."""

    def predict(self, inputs):
        for frame in inputs:
            seen = frame if frame.pixels[:, 0].any() else replace(frame, pixels=np.zeros_like(frame.pixels))
            yield from super().predict([seen])


BANNER, ANATOMY = Reader(slice(0, 12)), Reader(slice(40, 120))


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Pictures of 90 patients; banner and anatomy are of the grey of the class."""
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    for number in range(90):
        label = number % 3
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), np.full((*SIZE, 3), GREY[label], np.uint8))
        made.append(
            {
                "image": FrameRef(str(path), -1),
                "label": label,
                "class": CLASSES[label],
                "SOPInstanceUID": str(number),
                "frame": -1,
                "patient_id": f"P{number}",
            }
        )
    return made


def seen_by(items, *devices):
    """The same images, of one device after the other."""
    return [item | {"device": devices[number % len(devices)]} for number, item in enumerate(items)]


def verdicts(audit):
    return {answer.change: answer.verdict for answer in audit.answers}


def test_a_model_that_reads_the_banner_is_found_out(items):
    audit = audit_model(items, BANNER)
    assert audit.verdict is Verdict.FOUND
    assert verdicts(audit) == {
        "anatomy hidden": Verdict.FOUND,
        "surroundings hidden": Verdict.FOUND,
        "surroundings of another class": Verdict.FOUND,
        "calipers added": Verdict.NOT_FOUND,
    }
    assert audit.follows == 1.0
    assert audit.accuracy.value == 1.0
    effects = {answer.change: answer.effect.value for answer in audit.answers}
    assert effects["anatomy hidden"] == pytest.approx(2 / 3)
    assert effects["surroundings of another class"] == 1.0


def test_a_model_that_reads_the_anatomy_is_not_accused(items):
    audit = audit_model(seen_by(items, "A", "B"), ANATOMY)
    assert audit.verdict is Verdict.NOT_FOUND
    assert set(verdicts(audit).values()) == {Verdict.NOT_FOUND}
    assert audit.follows == 0.0
    assert (audit.images, audit.patients, audit.declared) == (90, 90, 0)
    assert {name: count for name, (count, _) in audit.devices.items()} == {"A": 45, "B": 45}


def test_black_surroundings_alone_are_no_verdict(items):
    audit = audit_model(items, Afraid(slice(40, 120)))
    assert verdicts(audit)["surroundings hidden"] is Verdict.FOUND
    assert audit.verdict is Verdict.NOT_FOUND


def test_a_dozen_images_are_too_few_to_acquit(items):
    assert audit_model(items[:12], ANATOMY).verdict is Verdict.UNDECIDED
    assert audit_model(items[:12], BANNER).verdict is Verdict.FOUND


def test_the_same_seed_gives_the_same_audit(items):
    assert audit_model(items, BANNER, seed=3).to_json() == audit_model(items, BANNER, seed=3).to_json()


def test_an_image_that_cannot_be_read_stops_nothing(items, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    bad = {**items[0], "image": FrameRef(str(tmp_path / "broken.png"), -1), "SOPInstanceUID": "broken"}
    found = audit_model([bad, *items], ANATOMY)
    assert found.images == 90, "nobody has drawn it as a donor of surroundings"
    assert [failure.source for failure in found.failures] == [str(tmp_path / "broken.png")]
    assert isinstance(found.failures[0], ReadFailure)
    alone_of_its_class = audit_model([{**bad, "label": 2}, *(item for item in items if item["label"] < 2)], ANATOMY)
    assert alone_of_its_class.images == 60
    with pytest.raises(InputError, match="no image can be read"):
        audit_model([bad, {**bad, "label": 1}], ANATOMY)


def test_one_class_cannot_be_audited(items):
    with pytest.raises(InputError, match="all images are of one class"):
        audit_model(items[::3], ANATOMY)


def test_it_is_json(items):
    said = json.loads(json.dumps(audit_model(items[:12], BANNER).to_json(), allow_nan=False))
    assert said["verdict"] == "found"
    assert said["answers"][0]["verdict"] == "found"


@pytest.mark.thorough
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_page(items, tmp_path, chromium, scheme, width):
    audit = audit_model(seen_by(items, "<b>A</b>", "B"), BANNER)
    path = write_audit_page(audit, items, tmp_path / "audit.html")
    with opened(chromium, path, scheme, width) as page:
        assert "A shortcut was found" in page.locator(".verdict").inner_text()
        assert page.locator("#answers tbody tr").count() == 4
        assert page.locator("#devices tbody th").first.inner_text() == "<b>A</b>"
        assert page.locator("#screens img").count() == 3 * 5
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with opened(chromium, path, scheme, width, bypass_csp=True) as page:
        assert violations(page) == []
