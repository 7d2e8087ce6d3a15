"""The status page in a real browser."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from browser import violations
from node_status import FAILED, HOSTILE, SENT, status

pytestmark = pytest.mark.thorough

__all__ = ["status"]


@contextmanager
def looked_at(chromium, status, path="/", scheme="light", width=1280, **options):
    """Open a page; fail if it says anything, or asks anyone else."""
    size = {"width": width, "height": 900}
    context = chromium.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", **options)
    page = context.new_page()
    seen = []
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: seen.append(request.url))
    page.goto(status.url + path)
    yield page
    context.close()
    assert [entry for entry in seen if not entry.startswith(status.url)] == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pages_are_for_everybody(status, chromium, scheme, width):
    for path in ("/", f"/study/{SENT}", f"/study/{FAILED}", f"/?tried={FAILED}"):
        with looked_at(chromium, status, path, scheme, width, bypass_csp=True) as page:
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        with looked_at(chromium, status, path, scheme, width) as page:
            assert page.locator("img").count() == 0
            if path == "/":
                assert HOSTILE in page.locator("#failures .error").inner_text()
                assert page.locator("h1").evaluate("one => getComputedStyle(one).overflowWrap") == "anywhere"


def test_a_retry_by_keyboard(status, chromium):
    def retry(page, token):
        page.focus("#token")
        page.keyboard.type(token)
        page.keyboard.press("Enter")  # sends nothing
        assert page.url == f"{status.url}/"
        for _ in range(4):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name") == "study":
                break
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: url != f"{status.url}/")

    context = chromium.new_context()
    page = context.new_page()
    page.goto(status.url)
    retry(page, "wrong")
    assert "The token is wrong" in page.inner_text("main")
    assert status.state(FAILED) == "failed"
    context.close()
    with looked_at(chromium, status) as page:
        retry(page, status.token)
        assert page.inner_text(".done") == "Study 1.2.1 is tried again."
        assert "No study has failed." in page.inner_text("#failures")
        assert not page.locator("#token").is_visible()
    assert status.state(FAILED) == "closed"


def test_the_page_refreshes_itself_but_for_what_has_the_focus(status, chromium):
    context = chromium.new_context()
    page = context.new_page()
    page.clock.install()
    page.goto(status.url)
    for _ in range(2):
        page.focus("#failures button[name=study]")
    status.ledger.sent("2.25.3")
    status.ledger.retry(FAILED)
    page.clock.run_for(10_500)
    page.wait_for_selector("#deliveries-now >> text=No document waits")
    assert page.locator("#failures button[name=study]").count() == 1
    page.focus("#pause")
    page.clock.run_for(10_500)
    page.wait_for_selector("#failures-now >> text=No study has failed")
    page.keyboard.press("Enter")
    assert page.get_attribute("#pause", "aria-pressed") == "true"
    context.close()
