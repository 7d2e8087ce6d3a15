"""Files of tensors are whole or not there, and a full disk is told by its name."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator

import pytest
import torch

from fetal_monai.errors import find_user_error
from fetal_monai.utils.tensor_files import save_tensors


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 64 KiB: what the system then says is as good as a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_what_is_written_is_read_back(tmp_path):
    content = {"weight": torch.randn(3, 2), "epoch": 4, "parts": [torch.arange(3)]}
    save_tensors(content, tmp_path / "new" / "last.pt")
    again = torch.load(tmp_path / "new" / "last.pt", weights_only=True)
    assert torch.equal(again["weight"], content["weight"])
    assert again["epoch"] == 4
    assert torch.equal(again["parts"][0], content["parts"][0])


@pytest.mark.parametrize("pieces", [1, 300], ids=["one large tensor", "many small ones"])
def test_a_full_disk_leaves_the_file_as_it_was_and_is_told_by_its_name(tmp_path, small_disk, pieces):
    path = tmp_path / "last.pt"
    save_tensors({"weight": torch.ones(2)}, path)
    large = {str(number): torch.zeros(90_000 // pieces) for number in range(pieces)}
    with pytest.raises(OSError, match="File too large") as caught:
        save_tensors(large, path)
    assert caught.value.errno == errno.EFBIG
    assert torch.equal(torch.load(path, weights_only=True)["weight"], torch.ones(2))
    assert [found.name for found in tmp_path.iterdir()] == ["last.pt"]
    wrapped = RuntimeError("Failed to evaluate ConfigExpression")
    wrapped.__cause__ = caught.value
    assert (
        str(find_user_error(wrapped))
        == f"{path}: File too large; give a folder on another disk, or lift the limit on the size of files"
    )


def test_what_is_no_fault_of_the_disk_is_told_as_it_is(tmp_path):
    with pytest.raises(Exception, match="pickle"):
        save_tensors({"generator": (number for number in range(3))}, tmp_path / "last.pt")
    assert not list(tmp_path.iterdir())
