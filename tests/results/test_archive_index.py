"""The index of results that lie side by side: also of what has no page."""

from __future__ import annotations

from dataclasses import fields

import pytest

from clips import textured, write_clip
from fetal_monai.errors import InputError
from fetal_monai.results.archive_index import write_archive_index
from fetal_monai.results.predict_to_folder import Options, predict_to_folder
from fetal_monai.results.study_folder import StudySummary


def test_why_a_patient_of_a_study_has_no_page_stands_in_the_index(model_dir, tmp_path):
    for patient in ("A", "B"):
        path = tmp_path / f"in/{patient}.dcm"
        path.parent.mkdir(exist_ok=True)
        write_clip(path, textured(1), NumberOfFrames=None, FrameTime=None, StudyInstanceUID="1.2", PatientID=patient)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 3000])
    summary = predict_to_folder([path.parent], model_dir, tmp_path / "out/1.2", Options(explain=False), device="cpu")
    assert [bool(row.report) for row in summary.studies] == [True, False]
    write_archive_index(tmp_path / "out", {"1.3": "refused"})
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert 'href="./1.2/studies/1/report.html"' in page
    for reason in ("study 1.3", "refused", "truncated"):
        assert reason in page


ROW = "1,a,1.2,report.html,1,0,1,0,6,13,0"
HEAD = "study,name,study_instance_uid,report,stills,clips,found,uncertain,missing,not_assessable,failures"


def test_the_row_that_is_damaged_below_is_none():
    assert HEAD.split(",") == [field.name for field in fields(StudySummary)]
    assert len(ROW.split(",")) == len(HEAD.split(","))


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "study,name\n1,a\n",
        "\xff\n",
        '"',
        f"{HEAD}\n{ROW[:-2]}\n",
        f"{HEAD}\n{ROW},1\n",
        f"{HEAD}\n{ROW.replace('html,1', 'html,x')}\n",
    ],
)
def test_a_damaged_table_is_named(model_dir, tmp_path, content):
    path = tmp_path / "in/a.dcm"
    path.parent.mkdir()
    write_clip(path, textured(1), NumberOfFrames=None, FrameTime=None, StudyInstanceUID="1.2")
    predict_to_folder([path], model_dir, tmp_path / "out/1.2", Options(explain=False), device="cpu")
    table = tmp_path / "out/1.2/studies.csv"
    table.unlink() if content is None else table.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"(?s)studies\.csv.*delete the folder"):
        write_archive_index(tmp_path / "out")
    assert not (tmp_path / "out/index.html").exists()
