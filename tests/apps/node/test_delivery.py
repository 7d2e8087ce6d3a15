"""Documents on their way to a destination: refused, damaged, not committed to, or behind one that will not go."""

from __future__ import annotations

import time

import pytest

from fetal_monai.apps.node.delivery import Sender
from fetal_monai.apps.node.destinations import Unreachable
from fetal_monai.apps.node.records import Document
from node_peers import send_raw, start, state, still, until

__all__ = ["start"]


class Refusing:
    """A destination that has room for one document, and refuses all others."""

    def __init__(self):
        self.tried = []

    def send(self, paths, arrived, refused):
        for path in paths:
            self.tried.append(path)
            if len(self.tried) == 1:
                arrived(path, None)
            else:
                refused(path, "refused with status A700")


def test_a_refused_document_is_tried_again_and_given_up_in_the_end(start, tmp_path, monkeypatch):
    monkeypatch.setattr("fetal_monai.apps.node.delivery._REFUSALS", 3)
    node = start()
    for name in "12":
        (node.storage / name).write_bytes(b"")
    assert send_raw(node.port, still(tmp_path / "a.dcm", 1)) == [0]
    key = node.ledger.studies()[0].key
    node.ledger.close_study(key, 1)
    documents = [Document(name, f"{name}.1", "1.2", name) for name in "12"]
    assert node.ledger.finish_prediction(key, 1, documents)
    with Sender(node.storage, node.ledger, Refusing(), first_pause=0.05):
        until(lambda: state(node) == {"failed"})
    done, lost = node.ledger.deliveries()
    assert (done.state, lost.state, lost.attempts, lost.error) == ("sent", "failed", 3, "refused with status A700")


class Once:
    """A destination that has trouble with the first document, whatever comes behind it."""

    def __init__(self, error):
        self.error = error

    def send(self, paths, arrived, refused):  # noqa: ARG002
        for path in paths:
            if path.name == "1":
                raise self.error
            arrived(path, None)


@pytest.fixture
def two_documents(start, tmp_path):
    node = start()
    for name in "12":
        still(node.storage / name, 1)
    assert send_raw(node.port, still(tmp_path / "a.dcm", 1)) == [0]
    key = node.ledger.studies()[0].key
    node.ledger.close_study(key, 1)
    assert node.ledger.finish_prediction(key, 1, [Document(name, f"{name}.1", "1.2", name) for name in "12"])
    return node


def deliveries(node):
    return [(one.state, one.attempts) for one in node.ledger.deliveries()]


@pytest.mark.parametrize("error", [ValueError("malformed"), Unreachable("the association was lost")])
def test_one_document_does_not_keep_the_others_back(two_documents, error):
    with Sender(two_documents.storage, two_documents.ledger, Once(error), first_pause=0.05):
        until(lambda: deliveries(two_documents)[1][0] == "sent", 10)
    kept = two_documents.ledger.deliveries()[0]
    assert kept.state == "pending"
    assert kept.error == (
        "the association was lost" if isinstance(error, Unreachable) else "could not be sent (ValueError)"
    )


def test_a_damaged_document_is_made_again(two_documents):
    (two_documents.storage / "1").write_bytes(b"no DICOM")
    with Sender(two_documents.storage, two_documents.ledger, Once(ValueError()), first_pause=0.05):
        until(lambda: state(two_documents) == {"closed"}, 10)


class Forgetful:
    """A destination that takes all and commits to nothing."""

    def __init__(self, ledger):
        self.ledger, self.times = ledger, []

    def send(self, paths, arrived, refused):  # noqa: ARG002
        for path in paths:
            self.times.append(time.monotonic())
            arrived(path, "1.9")
            self.ledger.committed("1.9", [], [path.name])


def test_what_is_not_committed_waits_longer_each_time_and_is_given_up(two_documents, monkeypatch):
    monkeypatch.setattr("fetal_monai.apps.node.ledger._COMMITMENTS", 4)
    forgetful = Forgetful(two_documents.ledger)
    with Sender(two_documents.storage, two_documents.ledger, forgetful, first_pause=0.05):
        until(lambda: deliveries(two_documents) == [("failed", 4)] * 2, 10)
    assert state(two_documents) == {"failed"}
    assert forgetful.times[-1] - forgetful.times[0] > 0.05 + 0.1 + 0.2
