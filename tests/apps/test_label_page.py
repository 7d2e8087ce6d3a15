"""The labelling page in a real browser, by keyboard alone."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest

from browser import open_chromium
from fetal_monai.data import load_datalists

pytestmark = pytest.mark.thorough

pytest.importorskip("monailabel")
requests = pytest.importorskip("requests")
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def server(label_server, label_model, label_studies, tmp_path_factory):
    (label_studies.folder / label_studies.picture).unlink()
    workspace = tmp_path_factory.mktemp("workspace")
    with label_server(
        "--studies", label_studies.folder, "--model", label_model, "--workspace", workspace, "--port", "0"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, server):
    page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.problems = []
    page.on("console", lambda message: message.type == "error" and page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(f"{server.url}/labelling/")
    settle(page)
    yield page
    page.context.close()


def settle(page) -> tuple[str, int]:
    """Wait until the page is at rest with a prediction, and tell image and frame (-1 for a still)."""
    page.wait_for_selector("body[aria-busy=false]")
    page.wait_for_selector("#classes .suggested")
    clip = page.locator("#clip").is_visible()
    return page.text_content("#title"), int(page.input_value("#slider")) if clip else -1


def press(page, key: str) -> tuple[str, int]:
    page.keyboard.press(key)
    return settle(page)


def exported(server) -> dict[str, tuple[int, str]]:
    table = pd.read_csv(
        io.StringIO(requests.get(f"{server.url}/labelling/annotations.csv", timeout=60).text), dtype=str
    )
    return {row.SOPInstanceUID: (int(row.frame), row._asdict()["_2"]) for row in table.itertuples(index=False)}


def test_ten_images_by_keyboard_and_one_undone(page, server, label_studies, class_names, tmp_path):
    keys = {name: "1234567890qwertyuiopasdfghjklzxcvbnm"[index] for index, name in enumerate(class_names)}
    said: dict[str, tuple[int, str]] = {}
    clips = 0
    image, frame = settle(page)
    while len(said) < 10:
        assert image not in said
        assert (frame >= 0) == (clips < 2), "clips come first"
        if frame >= 0:  # a clip: look around, and label the frame that the truth names
            clips += 1
            answer = requests.get(f"{server.url}/labelling/key_frames", params={"image": image}, timeout=60).json()
            found = [key["frame"] for key in answer["key_frames"]]
            assert frame == (found or [(label_studies.frames(str(label_studies.dicom[image])) - 1) // 2])[0]
            if found:
                page.wait_for_selector(f"#keys-list [aria-current=true][data-frame='{frame}']")
            _, frame = press(page, "End")
            assert frame == label_studies.frames(str(label_studies.dicom[image])) - 1
            _, frame = press(page, "Home")
            assert frame == 0
            wanted = label_studies.truth(image)[0]
            while frame < wanted:
                _, frame = press(page, "ArrowRight")
        if len(said) == 3:  # accept what the model says
            said[image] = frame, page.get_attribute("#classes .suggested", "data-name")
            key = "Enter"
        else:
            said[image] = frame, label_studies.truth(image)[1]
            key = keys[said[image][1]]
        last, (image, frame) = image, press(page, key)
        assert page.text_content("#status") == f"{said[last][1]}: saved."
    assert exported(server) == said
    assert page.text_content("#count") == f"10 of {len(label_studies.dicom)} labelled"

    image, frame = press(page, "Backspace")
    assert (image, frame) == (last, said[last][0])  # the image is back in view, to be labelled anew
    del said[last]
    assert exported(server) == said
    assert page.locator("#classes [aria-pressed=true]").count() == 0
    skipped = press(page, "Space")[0]
    assert skipped != image

    csv = tmp_path / "annotations.csv"
    csv.write_text(requests.get(f"{server.url}/labelling/annotations.csv", timeout=60).text)
    lists = load_datalists(csv, label_studies.folder, class_names, splits=())
    assert sum(map(len, lists.values())) == 9
    assert (label_studies.folder / "labels/annotations.csv").read_text() == csv.read_text()
    assert page.problems == []


def test_a_corrected_label_can_be_undone_to_what_it_was(page, server, class_names):
    image, frame = settle(page)
    press(page, "1")
    assert exported(server)[image] == (frame, class_names[0])
    press(page, "Backspace")
    press(page, "2")
    press(page, "Backspace")
    assert image not in exported(server)
    assert page.problems == []


def test_an_error_of_the_server_is_shown(page, server, label_studies):
    image, _ = settle(page)
    labels = label_studies.folder / "labels"
    kept = labels.rename(labels.with_name(".labels")) if labels.exists() else None
    labels.write_text("in the way")
    try:
        page.keyboard.press("1")
        page.wait_for_selector("#alert:not(:empty)")
        assert "could not be written" in page.text_content("#alert")
    finally:
        labels.unlink()
        if kept:
            kept.rename(labels)
    assert settle(page)[0] == image  # it stays in view, to be labelled when there is room again


def test_what_comes_next_is_the_annotators_choice(page):
    offered = page.locator("#strategy option")
    assert offered.all_text_contents() == [
        "key frames", "uncertainty", "disagreement of the views", "distance to what is labelled", "random",
    ]  # fmt: skip
    asked = []
    page.on("request", lambda request: "/activelearning/" in request.url and asked.append(request.url.split("/")[-1]))
    for strategy in ("disagreement", "distance"):
        page.select_option("#strategy", strategy)
        press(page, "Space")
    assert asked == ["disagreement", "distance"]
    assert page.problems == []


def test_shortcuts_can_be_switched_off_and_colours_chosen(page, server):
    before = exported(server)
    page.uncheck("#shortcuts")
    page.keyboard.press("1")
    page.check("#shortcuts")
    assert exported(server) == before
    backs = set()
    for theme in ("dark", "light"):
        page.select_option("#theme", theme)
        backs.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backs) == 2


KEY_FRAMES = [
    {"frame": 1, "plane": "Femur", "confidence": 0.962, "score": 0.9, "first": 0, "last": 2},
    {"frame": 3, "plane": "Abdomen", "confidence": 0.7, "score": 0.5, "first": 3, "last": 3},
]


def answer_key_frames(page, answer) -> None:
    """Put an answer in the place of the server's, for every clip that is shown from now on."""
    page.route(re.compile(r"/labelling/key_frames\?"), answer)  # not key_frames.js
    while page.evaluate("keys.asking"):
        page.wait_for_timeout(50)
    page.evaluate("forgetKeyFrames()")


def show(page, image: str, frame: int = 0) -> None:
    """Bring an image into view, whatever the strategy says."""
    page.wait_for_selector("body[aria-busy=false]")
    page.evaluate("([image, frame]) => exclusively(() => open(image, frame))", [image, frame])
    settle(page)


def test_key_frames_are_a_key_or_a_click_away(page, label_studies):
    image = label_studies.clips[0]
    answer_key_frames(page, lambda route: route.fulfill(json={"key_frames": KEY_FRAMES}))
    show(page, image)
    buttons = page.locator("#keys-list button")
    buttons.nth(1).wait_for()
    assert buttons.all_text_contents() == ["Femur · frame 2 · 96 %", "Abdomen · frame 4 · 70 %"]
    assert page.locator("#keys-list [aria-current]").count() == 0
    buttons.nth(0).click()
    assert settle(page) == (image, 1)
    assert page.locator("#keys-list [aria-current=true]").all_text_contents() == ["Femur · frame 2 · 96 %"]
    assert [press(page, key)[1] for key in "..,,"] == [3, 3, 1, 1]
    page.locator("#slider").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert press(page, "Enter") == (image, 3)  # the button, not the suggestion
    assert page.evaluate("document.activeElement.dataset.frame") == "3"
    press(page, "1")
    show(page, image)
    assert page.locator("#keys-list .labelled").all_text_contents() == ["Abdomen · frame 4 · 70 %"]
    press(page, "Backspace")
    assert page.locator("#keys-list .labelled").count() == 0
    assert page.problems == []


def test_labelling_does_not_wait_for_key_frames(page, server, label_studies):
    held = []
    answer_key_frames(page, lambda route: held.append(route))  # noqa: PLW0108  # Playwright marks the function
    show(page, label_studies.clips[0])
    assert page.text_content("#keys-remark") == "…"
    press(page, "2")
    assert label_studies.clips[0] in exported(server)
    press(page, "Backspace")
    (other,) = (uid for uid in label_studies.clips if uid not in held[0].request.url)
    show(page, other)
    assert len(held) == 1  # the server is never asked for two clips at once
    held.pop().fulfill(json={"key_frames": KEY_FRAMES})
    while not held:
        page.wait_for_timeout(50)
    held.pop().fulfill(status=422, json={"detail": "clip.dcm: damaged; copy it again"})
    page.locator("#keys-remark", has_text="not found: clip.dcm: damaged; copy it again").wait_for()
    assert page.text_content("#alert") == ""
    assert page.locator("#keys-list button").count() == 0


def test_what_undo_takes_out_of_view_comes_back(page, server):
    first, second = settle(page), press(page, "1")
    assert first != second
    assert press(page, "Backspace") == first
    assert press(page, "2") == second
    press(page, "Backspace")
    assert first[0] not in exported(server)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_page_is_accessible(page, theme, label_studies):
    answer_key_frames(page, lambda route: route.fulfill(json={"key_frames": KEY_FRAMES}))
    show(page, label_studies.clips[0], KEY_FRAMES[0]["frame"])
    page.wait_for_selector("#keys-list [aria-current=true]")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.select_option("#theme", theme)
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
