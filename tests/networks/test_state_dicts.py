"""Checkpoints of anyone: only tensors are read, damage is told as such, all or nothing is loaded."""

import io
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fetal_monai.errors import InputError
from fetal_monai.networks.state_dicts import load_strictly, read_state_dict


class Payload:
    def __reduce__(self):
        return (print, ("this code must not run",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda path: torch.save({"weights": Payload()}, path), "pickled Python objects, which can run code"),
        (lambda path: path.write_bytes(pickle.dumps(Payload())), "pickled Python objects, which can run code"),
        (lambda path: torch.save(nn.Linear(1, 1), path), "pickled Python objects, which can run code"),
        (lambda path: path.write_bytes(b"PK\x03\x04 broken"), "no checkpoint of torch.save, or it is damaged"),
        (lambda path: path.write_bytes(b""), "no checkpoint of torch.save, or it is damaged"),
        (lambda path: torch.save({"epoch": 3}, path), "holds no state dict"),
        (lambda path: torch.save([torch.zeros(1)], path), "holds no state dict"),
        (lambda _: None, "there is no such file"),
    ],
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")  # torch's word on a bare pickle
def test_unsafe_and_broken_checkpoints_are_refused(content, message, tmp_path, capsys):
    path = tmp_path / "best_model.pth"
    content(path)
    with pytest.raises(InputError, match=message):
        read_state_dict(path)
    assert "must not run" not in capsys.readouterr().out


SMALL = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).state_dict()


@given(st.floats(0, 1, exclude_max=True), st.sampled_from(["zip", "older"]), st.booleans(), st.integers(1, 255))
def test_a_checkpoint_cut_off_or_changed_anywhere_is_never_a_traceback(place, kind, cut, flip):
    buffer = io.BytesIO()
    torch.save(SMALL, buffer, _use_new_zipfile_serialization=kind == "zip")
    raw = bytearray(buffer.getvalue())
    at = int(place * len(raw))
    if cut:
        del raw[at:]
    else:
        raw[at] ^= flip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pt")
        path.write_bytes(raw)
        try:
            read_state_dict(path)
        except InputError:
            return
    assert not cut, "what is missing must be missed"


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"<!DOCTYPE html>"])
def test_weights_that_are_none_are_told_as_such(content, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="or it is damaged or cut off; copy it again"):
        read_state_dict(path)


def test_load_strictly_loads():
    source, network = nn.Linear(2, 3), nn.Linear(2, 3)
    load_strictly(network, source.state_dict(), source="a.pth")
    assert torch.equal(network.weight, source.weight)
