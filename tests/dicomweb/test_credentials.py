"""Secrets: from a file or the environment, taken as they are, never repeated."""

from __future__ import annotations

import pytest

from fetal_monai.dicomweb.credentials import Credentials, read_credentials
from fetal_monai.errors import InputError

P = "FETAL_MONAI_DICOMWEB_"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("user: a\npassword: b c: #d'\n", Credentials("a", "b c: #d'")),
        ("\npassword:007\nuser:é\n", Credentials("é", "007")),
        ("token: yes", Credentials(token="yes")),
    ],
)
def test_a_file_is_taken_as_it_is(tmp_path, text, found):
    (tmp_path / "auth").write_text(text, encoding="utf-8")
    assert read_credentials(tmp_path / "auth", {P + "TOKEN": "another"}) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user: hush", "give user: and password:, or token: alone; there is: user:"),
        ("user: a\npassword: hush\ntoken: hush", "or token: alone"),
        ("hush", "line 1 begins with neither"),
        ("", "there is: "),
        ("token:", "token: is empty"),
        ("token: hush\x07hush", "token: is empty or holds a line break"),
        ("token: hushé", "a token is ASCII"),
        ("user: a:b\npassword: hush", "has no colon"),
    ],
)
def test_a_file_that_is_not_right(tmp_path, text, message):
    (tmp_path / "auth").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_credentials(tmp_path / "auth")
    assert message in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file or directory; give a file with `user:`"):
        read_credentials(tmp_path / "nowhere")
    (tmp_path / "auth").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="it is not text"):
        read_credentials(tmp_path / "auth")


def test_the_environment():
    assert read_credentials(environ={}) is None
    assert read_credentials(environ={P + "USER": "a", P + "PASSWORD": "b"}) == Credentials("a", "b")
    assert read_credentials(environ={P + "TOKEN": "t", P + "USER": ""}) == Credentials(token="t")
    with pytest.raises(InputError, match=f"environment: 1 problem\n  give {P}USER and {P}PASSWORD"):
        read_credentials(environ={P + "PASSWORD": "b"})
