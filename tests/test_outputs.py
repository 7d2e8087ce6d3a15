"""What a command cannot write is named as it was asked for."""

from __future__ import annotations

import pytest

from fetal_monai.cli.outputs import write_outputs
from fetal_monai.errors import InputError


def write_text(path):
    path.write_text("page")
    return path


@pytest.mark.parametrize("which", ["json", "page"])
def test_the_file_that_was_asked_for_is_named(tmp_path, which):
    (tmp_path / "file").write_text("")
    asked = {"json": None, "page": None, which: tmp_path / "file" / "x"}
    with pytest.raises(InputError, match=r"/file/x: 1 problem\n  cannot be written \(.+\); name another file"):
        write_outputs(dict, asked["json"], asked["page"], write_text)


def test_both_are_written_and_the_page_is_told(tmp_path, capsys):
    write_outputs(lambda: {"a": 1}, tmp_path / "a.json", tmp_path / "a.html", write_text)
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'
    assert capsys.readouterr().out == f"{tmp_path / 'a.html'}: to look at\n"


def test_nothing_is_made_that_nobody_asked_for(tmp_path):
    write_outputs(lambda: pytest.fail("asked"), None, None, write_text)
