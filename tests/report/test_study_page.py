import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from browser import SIZES, opened, violations
from fetal_monai.dicom import index_dicom
from fetal_monai.inference import ReadFailure
from fetal_monai.inference.inputs import Frame
from fetal_monai.report import study_page, study_pictures
from fetal_monai.report.study_page import write_study_page
from fetal_monai.report.study_pictures import MOST_PICTURES
from fetal_monai.study.checklist import check
from fetal_monai.study.grouping import StudyFiles
from fetal_monai.study.protocol import Protocol, ProtocolItem
from fetal_monai.study.study import Study
from made_predictions import IDENTITY, PLANES, made_clip, predicted

HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}\u202egpj"


@pytest.fixture(scope="module")
def entries(phantom):
    found = list(index_dicom(phantom / "dicom").values())
    stills = [entry for entry in found if entry.frames == 1]
    clips = sorted((entry for entry in found if entry.frames > 1), key=lambda entry: -entry.frames)
    return stills, clips


@pytest.fixture
def study(entries, tmp_path):
    """Stills and clips as DICOM, and a picture whose name means harm."""
    stills, clips = entries
    picture = tmp_path / f"{HOSTILE.replace('/', '')}.png"
    cv2.imwrite(str(picture), np.full((60, 80, 3), 90, np.uint8))
    harmful = replace(predicted(stills[0], PLANES, top=1, measured=10.0), source=str(picture), sop_instance_uid=None)
    gone = replace(predicted(stills[0], PLANES, top=2, label=None, measured=1.0), source="gone.dcm")
    made = [
        predicted(stills[0], PLANES, top=0, measured=50.0, conformal_set=("Femur",)),
        predicted(stills[1], PLANES, top=0, measured=60.0, conformal_set=("Femur", "Other")),
        predicted(stills[2], PLANES, top=3, out_of_distribution=True, measured=1.0),
        *(predicted(entry, PLANES, top=3, measured=1.0) for entry in stills[3:30]),
        harmful,
        gone,
    ]
    files = StudyFiles(HOSTILE, "1.2.3", passed_over={f"/x/{HOSTILE}": HOSTILE}, warnings=(f"odd: {HOSTILE}",))
    failures = (ReadFailure(f"/x/{HOSTILE}", f"/x/{HOSTILE}: it is damaged; export it again"),)
    made_clips = (made_clip(clips[0]), made_clip(clips[1], step=None))
    return Study(files, PLANES, IDENTITY, tuple(made), made_clips, failures)


@pytest.fixture
def checklist(study):
    items = [
        ProtocolItem("femur", "Limbs: femur", ("Femur",), "a note"),
        ProtocolItem("spine", f"Spine {HOSTILE}", ("Spine",)),
        ProtocolItem("kidneys", "Kidneys", ("Kidneys",)),
        ProtocolItem("stomach", "Stomach", ("Stomach",)),
        ProtocolItem("arms", "Arms", ()),
    ]
    return check(study, Protocol("A protocol", "A source", "Not reviewed clinically.", tuple(items)))


def draw(prediction, plane):
    """An explanation that can be told from any picture: all red."""
    return np.full((30, 40, 3), (255, 0, 0), np.uint8)


@pytest.fixture
def page_file(study, checklist, tmp_path):
    return write_study_page(study, checklist, tmp_path / "out" / "study.html", explain=draw)


def steps_of(text):
    return [json.loads(found) for found in re.findall(r'class="steps">(.*?)</script>', text, re.DOTALL)]


def test_it_stands_alone_and_hostile_names_stay_text(page_file):
    text = page_file.read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "@import" not in text
    assert "alert(1)</script>" not in text
    assert "49" not in re.findall(r"<h1>.*?</h1>", text)[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;{{ 7*7 }}" in text
    assert "Not a medical device" in text
    assert "Not reviewed clinically." in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert [path.name for path in page_file.parent.iterdir()] == ["study.html"]


def test_a_name_that_is_no_utf8_costs_nobody_the_page(study, checklist, tmp_path):
    strange = replace(study, files=replace(study.files, passed_over={"/x/b\udcff.bin": "not DICOM"}))
    assert "b\\udcff.bin" in write_study_page(strange, checklist, tmp_path / "study.html").read_text()


@pytest.mark.thorough
@pytest.mark.parametrize(("scheme", "width"), SIZES)
def test_anybody_can_use_it(page_file, chromium, scheme, width):
    # The page's own policy forbids foreign scripts; axe goes into a context that may bypass it.
    with opened(chromium, page_file, scheme, width, bypass_csp=True) as page:
        for part in page.locator("details").all():
            part.evaluate("part => part.open = true")
        for button in page.locator(".why").all():
            button.click()
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.thorough
def test_the_checklist_tells_what_it_knows(page_file, chromium, checklist):
    with opened(chromium, page_file) as page:
        assert page.title().startswith("Study <script>alert(1)</script>")
        shown = page.locator(".item .status").all_inner_texts()
        assert [text.split(" ", 1)[1] for text in shown] == [
            finding.status.value.capitalize() for finding in checklist.findings
        ]
        assert [text.split()[0] for text in page.locator(".count strong").all_inner_texts()] == ["2", "1", "0", "2"]
        femur = page.locator("#item-0")
        assert femur.locator(".best > .facts-of .numbers dd").all_inner_texts() == ["75\u00a0%", "1.00", "1.00", "0.94"]
        assert "Conformal set: Femur, Other" in femur.inner_text()
        assert Path(checklist.findings[0].best.prediction.source).name in femur.inner_text()
        assert femur.locator(".alternatives li").count() == len(checklist.findings[0].alternatives) > 0
        uncertain = page.locator("#item-2").inner_text()
        assert "The model abstains" in uncertain
        assert "The picture cannot be read" in uncertain
        assert page.locator("#item-3").inner_text().count("\n") <= 2
        assert "gone.dcm" in page.locator("#stills .tile.doubtful").last.text_content()
        assert "Unlike the training images" in page.locator("#stills .tile.doubtful").first.inner_text()


@pytest.mark.thorough
def test_what_spoke_for_an_image_is_shown_on_demand(page_file, chromium):
    with opened(chromium, page_file) as page:
        assert not page.locator(".explanation").first.is_visible()
        button = page.get_by_role("button", name="Show what spoke for it (Limbs: femur)")
        button.focus()
        page.keyboard.press("Enter")
        drawn = page.locator("#item-0 .explanation")
        assert drawn.is_visible()
        red, green, _ = drawn.locator("img").evaluate(
            "i => {const c = document.createElement('canvas').getContext('2d'); c.drawImage(i, 0, 0);"
            "return [...c.getImageData(5, 5, 1, 1).data].slice(0, 3)}"
        )
        assert red > 240
        assert green < 20
        page.get_by_role("button", name="Hide what spoke for it (Limbs: femur)").click()
        assert not drawn.is_visible()


def test_only_the_best_images_are_explained_and_nothing_is_shown_where_nothing_speaks(study, checklist, tmp_path):
    asked = []

    def explain(prediction, plane):
        asked.append((prediction, plane))

    text = write_study_page(study, checklist, tmp_path / "study.html", explain=explain).read_text()
    best = [finding.best for finding in checklist.findings if finding.best is not None]
    assert asked == [(one.prediction, one.plane) for one in best]
    assert 'class="why"' not in text
    assert 'class="explanation"' not in text


@pytest.mark.thorough
def test_keys_and_clicks_move_along_a_clip_and_change_the_picture(page_file, study, chromium):
    clip = study.clips[0]
    last = clip.frames - 1
    with opened(chromium, page_file) as page:
        slider = page.get_by_role("slider").first
        screen = page.locator("#clip-0 .screen")

        def at():
            return int(slider.get_attribute("aria-valuenow")), screen.get_attribute("data-frame")

        assert at() == (1, "1")  # the better key frame
        slider.focus()
        sources = set()
        walk = [("End", last), ("Home", 0), ("ArrowRight", 1), ("ArrowUp", 2), ("ArrowLeft", 1), ("ArrowDown", 0)]
        walk += [("ArrowLeft", 0), ("PageUp", min(10, last)), ("PageDown", 0), ("End", last)]
        for key, frame in walk:
            page.keyboard.press(key)
            assert at() == (frame, str(frame)), key
            sources.add(screen.locator("img").get_attribute("src"))
        assert len(sources) == len({frame for _, frame in walk})
        assert (
            slider.get_attribute("aria-valuetext")
            == f"Frame {last}, {last * 0.04:.2f}\u00a0s; Spine 75\u00a0%; Femur 8\u00a0%"
        )
        assert page.locator("#clip-0 .position").inner_text() == f"Frame {last}, {last * 0.04:.2f}\u00a0s"
        assert page.locator("#clip-0 .top li").first.inner_text().split("\n") == ["Spine", "75\u00a0%"]

        box = slider.bounding_box()
        for frame in (0, clip.frames // 2, last):
            page.mouse.click(box["x"] + box["width"] * (frame + 0.5) / clip.frames, box["y"] + box["height"] / 2)
            assert at()[0] == frame
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 1, box["y"] + 40)
        page.mouse.up()
        assert at()[0] == 0
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 40)
        assert at()[0] == 0

        doubtful = next(frame for frame, found in clip.predictions.items() if found.label is None)
        for _ in range(doubtful):
            page.keyboard.press("ArrowRight")
        assert "not sure enough; unlike the training images" in page.locator("#clip-0 .now .doubt").inner_text()

        page.locator("#clip-0 .segments .jump").last.press("Enter")
        assert at()[0] == last
        assert slider.evaluate("slider => slider === document.activeElement")
        assert page.get_by_role("slider").nth(1).get_attribute("aria-valuetext").startswith("Frame 1;")


@pytest.mark.thorough
def test_the_picture_is_that_of_the_frame(page_file, study, chromium):
    clip = study.clips[0]
    wanted = (clip.source, 2, study_page.PASSING)
    (picture,) = study_pictures.read_pictures([wanted]).values()
    assert dict(map(tuple, steps_of(page_file.read_text())[0]["pictures"]))[2] == picture
    with opened(chromium, page_file) as page:
        page.get_by_role("slider").first.press("Home")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert page.locator("#clip-0 .screen img").get_attribute("src") == picture


@pytest.mark.thorough
def test_ten_thousand_frames_still_give_a_page_of_some_megabytes(
    entries, study, checklist, tmp_path, monkeypatch, chromium
):
    """All are classified; the file has fewer, and so any frame shows noise, which no JPEG makes small."""
    noise = np.random.default_rng(0).integers(0, 255, (3, 480, 640), np.uint8)
    decoded = []

    def decode(run):
        for frame in run.frames:
            decoded.append(frame)
            yield Frame(run.source, None, frame, noise)

    monkeypatch.setattr(study_pictures, "decode_run", decode)
    long = tuple(made_clip(entry, frames=10_000) for entry in itertools.islice(itertools.cycle(entries[1]), 8))
    path = write_study_page(replace(study, clips=long), checklist, tmp_path / "study.html")
    assert path.stat().st_size < 20e6  # noise; pictures of tissue take a third
    text = path.read_text()
    assert len(decoded) < MOST_PICTURES + 40
    assert all(len(steps["frames"]) == 10_000 for steps in steps_of(text))
    assert max(map(len, re.findall(r'points="([^"]*)"', text))) < 20_000
    with opened(chromium, path) as page:
        page.get_by_role("slider").first.press("End")
        assert page.locator("#clip-0 .position").inner_text().startswith("Frame 9999")
        page.keyboard.press("PageDown")
        assert page.locator("#clip-0 .position").inner_text().startswith("Frame 9989")
        assert "the nearest that this page holds" in page.locator("#clip-0 .screen figcaption").inner_text()


@pytest.mark.thorough
def test_a_study_of_nothing_has_a_page(tmp_path, chromium):
    empty = Study(StudyFiles("empty", None), PLANES, IDENTITY, (), ())
    items = (ProtocolItem("femur", "Femur", ("Femur", "Stomach")),)
    path = write_study_page(empty, check(empty, Protocol("A", "B", "C", items)), tmp_path / "study.html")
    with opened(chromium, path) as page:
        assert "The model took no image for Femur.\n" in page.locator("#item-0").inner_text() + "\n"
