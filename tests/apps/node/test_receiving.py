"""Objects in: by dcmtk as any scanner sends them, and byte by byte as a broken one does."""

from __future__ import annotations

import stat
import threading
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit, UltrasoundImageStorage
from pynetdicom.dimse_primitives import C_STORE

from clips import textured, write_clip
from fetal_monai.apps.node.contexts import STORAGE_CLASSES
from fetal_monai.apps.node.limits import Status
from fetal_monai.dicom.decoders import supported_syntaxes
from fetal_monai.errors import InputError
from node_peers import (
    associated,
    collected,
    content,
    dcmtk,
    drops_sockets,
    echoscu,
    send_raw,
    start,
    still,
    storescu,
    studies,
)

__all__ = ["collected", "start"]


def test_dcmtk_echoes_and_stores(start, phantom):
    node = start()
    assert echoscu(node.port).returncode == 0
    sent = sorted((phantom / "dicom").glob("*.dcm"))[:6]
    done = storescu(node.port, "-xy", "-R", *sent)
    assert done.returncode == 0, done.stderr
    stored = {dcmread(path).SOPInstanceUID: path for path in node.files()}
    assert len(stored) == len(sent) == node.ledger.counters()["objects"]
    assert not node.incoming()
    for path in sent:
        source = dcmread(path)
        kept = stored[source.SOPInstanceUID]
        assert content(kept) == content(path), "not as received"
        assert dcmread(kept).file_meta.TransferSyntaxUID == source.file_meta.TransferSyntaxUID
        assert dcmtk("dcmftest", kept).returncode == 0
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert source.PatientID not in str(kept)
    assert {state for _, state, _ in studies(node)} == {"receiving"}


@pytest.mark.parametrize(
    "name", ["US1_J2KR.dcm", "examples_ybr_color.dcm", "examples_rgb_color.dcm", "color3d_jpeg_baseline.dcm"]
)
def test_real_files_are_kept_byte_for_byte(start, name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("this file is not installed")
    node = start()
    (status,) = send_raw(node.port, path)
    if status == Status.NO_ULTRASOUND:
        assert dcmread(path).Modality not in ("US", "IVUS")
        return
    assert status == Status.SUCCESS
    (kept,) = node.files()
    assert content(kept) == content(path)


def test_what_is_read_is_accepted_and_nothing_else(start):
    node = start()
    proposed = [(name, syntax) for syntax in sorted(supported_syntaxes()) for name in list(STORAGE_CLASSES)[:2]]
    for part in (proposed[:60], proposed[60:]):
        if part:
            with associated(node.port, part) as assoc:
                assert len(assoc.accepted_contexts) == len(part)
    rest = [(name, ExplicitVRLittleEndian) for name in list(STORAGE_CLASSES)[2:]]
    refused = [(CTImageStorage, ExplicitVRLittleEndian), (UltrasoundImageStorage, "1.2.840.10008.1.2.4.94")]
    with associated(node.port, [*rest, *refused]) as assoc:
        assert {(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in assoc.accepted_contexts} == set(rest)
        assert {str(cx.abstract_syntax) for cx in assoc.rejected_contexts} == {one for one, _ in refused}


def test_the_same_object_counts_once_and_another_content_overwrites_nothing(start, tmp_path):
    node = start()
    one, other = still(tmp_path / "a.dcm", 1), still(tmp_path / "b.dcm", 1, InstanceNumber=7)
    assert send_raw(node.port, one, one) == [0, 0]
    assert send_raw(node.port, one, other) == [0, Status.DUPLICATE_SOP_INSTANCE]
    (kept,) = node.files()
    assert content(kept) == content(one)
    assert studies(node) == [("1.2.3", "receiving", 1)]
    counters = node.ledger.counters()
    assert (counters["repeated"], counters["refused.0111"]) == (2, 1)


def edited(path, source, **meta):
    data = dcmread(source)
    for keyword, value in meta.items():
        setattr(data.file_meta, keyword, value)
    data.save_as(path, enforce_file_format=False)
    return path


def cut(path, source, left):
    path.write_bytes(source.read_bytes()[:left])
    return path


def test_each_fault_has_its_status_and_leaves_nothing(start, tmp_path, phantom):
    node = start()
    good = still(tmp_path / "good.dcm", 1)
    jpegs = ((path, dcmread(path)) for path in sorted((phantom / "dicom").glob("*.dcm")))
    jpeg = next(path for path, data in jpegs if data.file_meta.TransferSyntaxUID == JPEGBaseline8Bit)
    size, jpeg_size = good.stat().st_size, jpeg.stat().st_size
    wrong = {
        Status.CANNOT_UNDERSTAND: [
            cut(tmp_path / "pixels.dcm", good, size - 100),
            cut(tmp_path / "header.dcm", good, 520),
            cut(tmp_path / "jpeg.dcm", jpeg, jpeg_size - 3000),
            cut(tmp_path / "delimiter.dcm", jpeg, jpeg_size - 8),
            still(tmp_path / "no pixels.dcm", 2, PixelData=None, Rows=None),
            still(tmp_path / "taller.dcm", 2, Rows=dcmread(good).Rows + 1),  # than its pixels, whose length is right
        ],
        Status.NO_ULTRASOUND: [still(tmp_path / "ct.dcm", 3, Modality="CT")],
        Status.NO_STUDY: [
            write(tmp_path / "no study.dcm", 4, StudyInstanceUID=""),
            write(tmp_path / "path.dcm", 5, StudyInstanceUID="../../etc"),
            write(tmp_path / "no series.dcm", 6, SeriesInstanceUID=""),
        ],
        Status.DOES_NOT_MATCH_SOP_CLASS: [
            edited(tmp_path / "uid.dcm", good, MediaStorageSOPInstanceUID="1.2.3.4.5"),
            edited(tmp_path / "class.dcm", good, MediaStorageSOPClassUID=list(STORAGE_CLASSES)[4]),
        ],
    }
    for status, paths in wrong.items():
        found = send_raw(node.port, *paths)
        assert found == [status] * len(paths), (status, [hex(one) for one in found])
    assert node.files() == node.incoming() == studies(node) == []
    assert send_raw(node.port, good) == [Status.SUCCESS]


def write(path, number, **elements):
    """A still whose identity is wrong."""
    still(path, number)
    data = dcmread(path)
    for keyword, value in elements.items():
        data.add_new(keyword, "UI", value) if keyword not in data else setattr(data[keyword], "_value", value)
    data.save_as(path, enforce_file_format=False)
    return path


def test_strangers_are_rejected(start, tmp_path):
    node = start(allow=["SCANNER", "ECHO"])
    path = still(tmp_path / "a.dcm", 1)
    for names in ({"calling": "STRANGER"}, {"called": "OTHER"}):
        done = storescu(node.port, path, **names)
        assert done.returncode != 0
        assert "Reject" in done.stdout + done.stderr
    assert node.files() == []
    assert storescu(node.port, path).returncode == 0
    assert echoscu(node.port, calling="ECHO").returncode == 0


@drops_sockets
def test_an_association_that_breaks_off_leaves_nothing(start, tmp_path):
    node = start()
    path = still(tmp_path / "large.dcm", 1, size=(3000, 3000))
    with associated(node.port, [(UltrasoundImageStorage, ExplicitVRLittleEndian)]) as assoc:
        sending = threading.Thread(target=lambda: assoc.send_c_store(path), daemon=True)
        sending.start()
        for _ in range(500):
            if node.incoming():
                break
            threading.Event().wait(0.01)
        assert node.incoming()
        assoc.dul.socket._shutdown_socket()
        sending.join(timeout=40)
    for _ in range(500):
        if not node.incoming():
            break
        threading.Event().wait(0.01)
    assert node.incoming() == node.files() == []
    assert storescu(node.port, path).returncode == 0


@drops_sockets
def test_a_peer_that_does_not_wait_for_answers_leaves_nothing(start, tmp_path, monkeypatch):
    node = start()
    go_on, take = threading.Event(), node.inbox.take
    monkeypatch.setattr(node.inbox, "take", lambda *request: go_on.wait(30) and take(*request))
    data = still(tmp_path / "a.dcm", 1)
    request = C_STORE()
    request.MessageID, request.Priority = 1, 0
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UltrasoundImageStorage, dcmread(data).SOPInstanceUID
    with associated(node.port, [(UltrasoundImageStorage, ExplicitVRLittleEndian)]) as assoc:
        for _ in range(10):
            request.DataSet = BytesIO(content(data))
            assoc.dimse.send_msg(request, assoc.accepted_contexts[0].context_id)
        for _ in range(1000):
            if not assoc.is_alive() and len(node.incoming()) <= 1:
                break
            threading.Event().wait(0.01)
        assert not assoc.is_alive()
        assert len(node.incoming()) <= 1, "only the object in hand is left, if one was"
    go_on.set()
    for _ in range(500):
        if not node.incoming():
            break
        threading.Event().wait(0.01)
    assert node.incoming() == []


def test_a_port_that_is_taken(start, tmp_path):
    node = start()
    with pytest.raises(InputError, match=f"port {node.port}, cannot be used"):
        start(tmp_path / "other", port=node.port)


def test_clips_are_whole_only_with_all_frames(start, tmp_path):
    node = start()
    clip = tmp_path / "clip.dcm"
    write_clip(clip, textured(12))
    assert send_raw(node.port, clip) == [0]
    short = cut(tmp_path / "short.dcm", clip, clip.stat().st_size - 1)
    assert send_raw(node.port, short) == [Status.CANNOT_UNDERSTAND]
