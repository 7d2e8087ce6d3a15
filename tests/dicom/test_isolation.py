"""Decoding in a process that may die."""

import io
import json
import os
import signal
import sys
import threading
from dataclasses import asdict

import numpy as np
import pytest
from monai.data import DataLoader, Dataset
from monai.transforms import LoadImaged

from fetal_monai.dicom import FrameRef, Limits, UltrasoundInstance, UltrasoundReader, isolation, open_image
from fetal_monai.dicom.isolation import IsolatedDecoder
from fetal_monai.errors import DicomReadError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills with POSIX signals")


@pytest.fixture
def decoder():
    with IsolatedDecoder(timeout=20) as decoder:
        yield decoder


def test_the_answer_is_that_of_the_plain_reader(kit, decoder):
    for name, frame in (("examples_ybr_color.dcm", 29), ("examples_palette.dcm", -1)):
        path = str(kit.real(name))
        image, meta = decoder.decode(path, frame)
        with UltrasoundInstance(path) as instance:
            np.testing.assert_array_equal(image, instance.frame(frame))
            expected = instance.metadata(frame)
        assert meta.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_equal(meta[key], value)
        assert image.flags.writeable


def test_errors_cross_the_border_whole(kit, decoder):
    path = str(kit.real("examples_ybr_color.dcm"))
    with pytest.raises(DicomReadError, match="frame 30: there is no such frame: the file has 30") as caught:
        decoder.decode(path, 30)
    assert caught.value.frame == 30


def test_a_crash_is_contained_and_the_next_frame_decodes(kit, decoder):
    path = str(kit.real("examples_palette.dcm"))
    decoder.decode(path)
    os.kill(decoder._worker.pid, signal.SIGSEGV)
    decoder._worker.wait(timeout=20)
    assert decoder.decode(path)[0].shape == (3, 350, 800)
    _stop(decoder._worker.pid)  # dies while it is asked
    os.kill(decoder._worker.pid, signal.SIGSEGV)
    with pytest.raises(DicomReadError, match=r"the decoder crashed \(exit status -11\) and was contained"):
        _ask_and_wake(decoder, path)
    assert decoder.decode(path)[0].shape == (3, 350, 800)


def _stop(pid):
    """Stop a process and wait until it stands: a signal sent earlier would be taken first."""
    os.kill(pid, signal.SIGSTOP)
    _, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


def _ask_and_wake(decoder, path):
    pid = decoder._worker.pid
    threading.Timer(2.0, os.kill, (pid, signal.SIGCONT)).start()
    return decoder.decode(path)


def test_a_hang_is_ended(kit):
    path = str(kit.real("examples_palette.dcm"))
    with IsolatedDecoder(timeout=20) as decoder:
        decoder.decode(path)
        decoder._timeout = 0.3
        os.kill(decoder._worker.pid, signal.SIGSTOP)
        with pytest.raises(DicomReadError, match=r"more than 0\.3 seconds"):
            decoder.decode(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is limited on Linux only")
def test_a_worker_that_wants_too_much_memory_fails_alone(kit, tmp_path):
    path = kit.write(tmp_path / "big.dcm", np.zeros((1, 4000, 4000), np.uint8), photometric="MONOCHROME2")
    with IsolatedDecoder(timeout=30, memory=700 << 20) as decoder:
        small = decoder.decode(str(kit.real("examples_palette.dcm")))
        assert small[0].shape == (3, 350, 800)
        decoder._memory = 1
        decoder.close()
        with pytest.raises(DicomReadError):
            decoder.decode(str(path))


def test_it_works_inside_a_data_loader_worker(kit):
    reader = UltrasoundReader(isolated=True)
    path = str(kit.real("examples_ybr_color.dcm"))
    reader.get_data(FrameRef(path, 0))  # the parent has a worker of its own when it forks
    load = LoadImaged("image", reader=reader, dtype=np.uint8, expanduser=False)
    loader = DataLoader(Dataset([{"image": FrameRef(path, frame)} for frame in range(4)], load), num_workers=2)
    assert [int(batch["image"].meta["frame"][0]) for batch in loader] == [0, 1, 2, 3]
    assert reader.get_data(FrameRef(path, 3))[0].shape == (3, 240, 320)


def test_a_file_is_opened_once_for_all_its_frames_and_again_when_it_changed(kit, tmp_path, monkeypatch):
    path = kit.write(tmp_path / "a.dcm", kit.frames(3))
    opened = []
    monkeypatch.setattr(isolation, "open_image", lambda *args, **given: opened.append(1) or open_image(*args, **given))

    def ask(*frames):
        lines = [{"path": str(path), "frame": f, "limits": asdict(Limits()), "identifiers": False} for f in frames]
        answers = io.BytesIO()
        isolation.serve(io.BytesIO("\n".join(map(json.dumps, lines)).encode()), answers)
        return answers.getvalue()

    before = ask(0, 1, 2, 9, 1)
    assert len(opened) == 1
    assert b"there is no such frame" in before

    last = isolation._LastInstance()
    first = last(str(path), Limits())
    assert last(str(path), Limits()) is first
    assert last(str(path), Limits(max_frames=5)) is not first
    kit.write(path, kit.frames(2))
    assert len(last(str(path), Limits(max_frames=5))) == 2
    path.unlink()
    with pytest.raises(DicomReadError, match="No such file"):
        last(str(path), Limits())
    last.close()
