import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser import SIZES, opened, violations
from fetal_monai.inference import ReadFailure
from fetal_monai.report.study_index import StudyRow, told_apart, write_study_index
from fetal_monai.study.checklist import Status

HOSTILE = "<script>alert(1)</script>"
INDEX = [
    StudyRow("b", "b c/study.html", {Status.FOUND: 3, Status.MISSING: 2}, 12, 1),
    StudyRow("A", "javascript:alert(1)//#?.html", {Status.FOUND: 11}, 5, 0, 2),
    StudyRow(HOSTILE, None, {}, 0, 0, 1),
]


@given(st.lists(st.sampled_from(["a", "b", "a (1)", "a (2)", "a (1) (3)"]), max_size=8))
def test_no_two_studies_are_called_the_same(names):
    apart = told_apart(names)
    assert len(set(apart)) == len(names)
    assert all(found.startswith(name) for found, name in zip(apart, names, strict=True))
    assert apart == names or len(set(names)) < len(names)


@pytest.mark.thorough
@pytest.mark.parametrize(("scheme", "width"), SIZES)
def test_the_index_sorts_and_leads_to_the_studies(tmp_path, chromium, scheme, width):
    failures = [ReadFailure("/x/<b>.dcm", "/x/<b>.dcm: it is damaged; export it again")]
    path = write_study_index(INDEX, tmp_path / "index.html", failures=failures, passed_over={"/x/a.txt": "not DICOM"})
    (tmp_path / "b c").mkdir()
    (tmp_path / "b c" / "study.html").write_text("<!doctype html><title>there</title>")
    with opened(chromium, path, scheme, width, bypass_csp=True) as page:
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.get_by_role("button", name="Found").click()
        assert page.locator("tbody th").all_inner_texts() == ["A", "b", HOSTILE]
        page.get_by_role("button", name="Study").click()
        assert page.locator("tbody th").all_inner_texts() == [HOSTILE, "A", "b"]
        assert page.locator("th[aria-sort=ascending]").count() == 1
        assert "it is damaged" in page.locator("#failures").inner_text()
        harmful = page.get_by_role("link", name="A", exact=True).evaluate("link => link.href")
        assert harmful == tmp_path.as_uri() + "/javascript%3Aalert%281%29//%23%3F.html"
    context = chromium.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    page.get_by_role("link", name="b", exact=True).click()
    assert page.title() == "there"
    context.close()
