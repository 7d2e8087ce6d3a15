"""Errors survive pickling and wrapping, and a person sees them alone."""

from __future__ import annotations

import errno
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, Lambda

from fetal_monai.errors import DicomReadError, FetalMonaiError, InputError, find_user_error


@given(st.text(), st.text(), st.text(), st.none() | st.integers(-1, 9999))
def test_a_dicom_error_survives_pickling(path, cause, remedy, frame):
    error = DicomReadError(path, cause, remedy, frame=frame)
    again = pickle.loads(pickle.dumps(error))
    assert (again.path, again.cause, again.remedy, again.frame) == (path, cause, remedy, frame)
    assert str(again) == str(error)


def test_many_problems_are_counted_and_the_first_shown():
    error = InputError("a.csv", [f"row {row}: wrong" for row in range(2, 102)])
    assert "100 problems" in str(error)
    assert "row 51: wrong" in str(error)
    assert "row 52: wrong" not in str(error)
    assert "and 50 more" in str(error)
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def _unreadable(_: object) -> None:
    raise DicomReadError("x/bad.dcm", "the file ends too early", "copy it again", frame=3)


@pytest.mark.parametrize("workers", [0, 1])
def test_our_error_is_found_under_what_monai_and_the_loader_wrap_it_in(workers):
    dataset = Dataset([torch.zeros(1)], transform=Compose([Lambda(_unreadable)]))
    with pytest.raises(RuntimeError) as caught:
        next(iter(DataLoader(dataset, num_workers=workers)))
    assert str(find_user_error(caught.value)) == "x/bad.dcm, frame 3: the file ends too early; copy it again"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a/metrics.json"),
            "a/metrics.json: No space left on device; ",
        ),
        (OSError(errno.EROFS, "Read-only file system", "a"), "a: Read-only file system; give a folder that can"),
        (
            PermissionError(errno.EACCES, "Permission denied", b"a"),
            "b'a': Permission denied; give a file or folder that",
        ),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), "a: Is a directory; name a file"),
    ],
)
def test_what_the_disk_refuses_is_told_with_its_place(error, said):
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = error
    assert str(find_user_error(wrapped)).startswith(said)


def test_our_error_goes_before_what_a_disk_says_of_something_else():
    ours = InputError("labels.csv", ["no rows"])
    outer = PermissionError(errno.EACCES, "Permission denied", "a")
    outer.__context__ = ours
    assert find_user_error(outer) is ours


def test_a_foreign_error_stays_foreign():
    handled = ValueError("a defect")
    handled.__context__ = PermissionError(errno.EACCES, "Permission denied", "cache")
    handled.__suppress_context__ = True
    assert find_user_error(handled) is None
    assert find_user_error(OSError(errno.ENOSPC, "No space left on device")) is None, "shared memory has no file"
    assert find_user_error(OSError("no number")) is None
    assert find_user_error(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")) is None
    assert find_user_error(ValueError("fetal_monai is in the text, but this is no error of ours")) is None


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("raise FetalMonaiError('mend this')", "Error: mend this\n"),
        ("raise ValueError('a defect')", "ValueError: a defect\n"),
    ],
)
def test_the_console_shows_the_users_mistake_alone_and_a_defect_whole(statement, expected):
    program = f"""
import sys
from fetal_monai.console import _explain
from fetal_monai.errors import FetalMonaiError
sys.excepthook = _explain
try:
    {statement}
except Exception as error:
    raise RuntimeError("wrapped") from error if isinstance(error, FetalMonaiError) else error
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=Path.cwd())
    assert done.returncode == 1
    assert expected in done.stderr
    assert ("Traceback" in done.stderr) == ("defect" in statement)


def test_every_error_of_ours_has_one_base():
    assert issubclass(DicomReadError, FetalMonaiError)
    assert issubclass(InputError, FetalMonaiError)
