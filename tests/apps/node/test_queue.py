"""The queue: what it remembers, what it refuses to open, and that each study ends with one report of what it holds."""

from __future__ import annotations

import sqlite3
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetal_monai.apps.node.ledger import Ledger
from fetal_monai.apps.node.queue import QUEUE_FILE, Queue
from fetal_monai.apps.node.records import Document, Instance
from fetal_monai.apps.node.schema import VERSION
from fetal_monai.errors import FetalMonaiError, InputError


def instance(number, study="s"):
    return Instance(f"1.{number}", study, "1.2", "1.2.840.10008.1.2", f"{number}", 10, f"{study}/{number}.dcm")


def document(name):
    return Document(name, f"{name}.1", "1.2.840.10008.5.1.4.1.1.88.22", f"reports/{name}.dcm")


def state(ledger, key="s"):
    return ledger.study(key).state


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path, create=True) as opened:
        yield opened


@pytest.fixture
def predicted(ledger):
    """A study with a report and key objects, not yet sent."""
    ledger.add(instance(1), "1.2.3")
    ledger.close_study("s", 1)
    assert ledger.prediction_died("s") == 1
    assert ledger.finish_prediction("s", 1, [document("1"), document("2")])
    return ledger


def test_a_study_goes_its_way(predicted):
    assert (state(predicted), predicted.study("s").version) == ("predicted", 1)
    predicted.sent("1", "1.9")
    assert state(predicted) == "predicted"
    predicted.sent("2", "1.9")
    assert state(predicted) == "sent"
    predicted.committed("1.9", ["1"], [])
    assert [one.committed for one in predicted.deliveries()] == [True, False]
    predicted.committed("1.9", [], ["2"])
    assert (state(predicted), predicted.deliveries("pending")[0].document.uid) == ("predicted", "2")
    assert predicted.counters() | {"documents.sent": 1, "studies.predicted": 1, "objects": 1} == predicted.counters()


def test_what_comes_late_makes_a_new_version(predicted):
    predicted.sent("1")
    predicted.add(instance(2), "1.2.3")
    assert state(predicted) == "receiving"
    predicted.not_sent("2", "gone")
    assert state(predicted) == "receiving"
    predicted.close_study("s", 1)
    assert state(predicted) == "receiving", "closed what had changed"
    predicted.close_study("s", 2)
    predicted.add(instance(3), "1.2.3")
    assert not predicted.finish_prediction("s", 2, [document("3")]), "kept a report that knows of two objects only"
    predicted.close_study("s", 3)
    assert not predicted.finish_prediction("s", 3, [document("3")]), "kept a report that does not name the one before"
    assert predicted.finish_prediction("s", 3, [document("3")], document("2"))
    versions = {one.document.uid: (one.version, one.state) for one in predicted.deliveries()}
    assert versions == {"1": (1, "sent"), "2": (1, "superseded"), "3": (2, "pending")}


def test_failures_wait_for_a_person(predicted):
    predicted.not_sent("1", "dead")
    assert (state(predicted), predicted.deliveries("pending")[0].attempts) == ("predicted", 1)
    predicted.not_sent("1", "refused with C000", give_up=True)
    (failed,) = predicted.failures()
    assert (failed.state, failed.error) == ("failed", "refused with C000")
    predicted.retry("1.2.3")
    assert (state(predicted), [one.state for one in predicted.deliveries()]) == ("predicted", ["pending", "pending"])
    with pytest.raises(FetalMonaiError, match="has not failed"):
        predicted.retry("s")
    with pytest.raises(FetalMonaiError, match="not in the queue"):
        predicted.retry("other")
    predicted.not_sent("1", "refused", give_up=True)
    predicted.add(instance(2), "1.2.3")
    predicted.close_study("s", 2)
    predicted.fail_study("s", 2, "nothing can be read")
    predicted.retry("s")
    assert state(predicted) == "closed", "the second object was never predicted"


def test_what_is_replaced_stays_so(predicted):
    assert predicted.sending("1")
    predicted.add(instance(2), "1.2.3")
    predicted.close_study("s", 2)
    assert predicted.previous("s") == document("1"), "it may be there"
    assert predicted.finish_prediction("s", 2, [document("3")], document("1"))
    predicted.not_sent("1", "gone", counted=True)
    predicted.sent("2")
    assert not predicted.sending("2")
    states = {one.document.uid: (one.state, one.attempts) for one in predicted.deliveries()}
    assert states == {"1": ("superseded", 1), "2": ("superseded", 0), "3": ("pending", 0)}
    assert state(predicted) == "predicted"


def test_what_begins_to_be_sent_during_a_prediction_is_named(predicted):
    predicted.add(instance(2), "1.2.3")
    predicted.close_study("s", 2)
    previous = predicted.previous("s")
    assert previous is None
    assert predicted.sending("1")
    assert not predicted.finish_prediction("s", 2, [document("3")], previous)
    assert predicted.finish_prediction("s", 2, [document("3")], document("1"))


@pytest.mark.parametrize("way", ["sent", "not sent"])
def test_an_older_report_s_way_is_not_that_of_a_study_that_failed(predicted, way):
    predicted.add(instance(2), "1.2.3")
    predicted.close_study("s", 2)
    predicted.fail_study("s", 2, "nothing can be read")
    for uid in "12":
        predicted.sent(uid) if way == "sent" else predicted.not_sent(uid, "gone")
    assert [one.error for one in predicted.failures()] == ["nothing can be read"]


def test_what_is_made_again_has_all_its_attempts(predicted):
    for _ in range(3):
        predicted.not_sent("1", "refused")
    predicted.predict_again("s")
    assert predicted.finish_prediction("s", 1, [document("1"), document("2")])
    assert [(one.state, one.attempts, one.error) for one in predicted.deliveries()] == [("pending", 0, "")] * 2


def test_what_is_never_committed_is_given_up(predicted):
    for _ in range(10):
        assert state(predicted) == "predicted"
        assert predicted.sending("1")
        predicted.sent("1", "1.9")
        predicted.committed("1.9", [], ["1"])
    assert [one.error for one in predicted.failures()] == ["the destination did not commit to keep it"]


def test_what_has_to_wait_waits_behind_the_others(ledger):
    for key in "st":
        ledger.add(instance(key, key), f"1.2.{key}")
        ledger.close_study(key, 1)
    ledger.postpone("s", 1, "waits: the disk is full")
    assert ledger.longest("closed").key == "t"
    assert (ledger.study("s").state, ledger.study("s").error) == ("closed", "waits: the disk is full")


def test_the_same_report_again_is_not_sent_again(predicted):
    for uid in "12":
        predicted.sent(uid)
    predicted.lose(instance(1))
    predicted.add(instance(1), "1.2.3")
    predicted.close_study("s", 3)
    assert predicted.finish_prediction("s", 3, [document("1"), document("2")], predicted.previous("s"))
    assert (state(predicted), [one.state for one in predicted.deliveries()]) == ("sent", ["sent", "sent"])


def test_another_process_reads_beside_it(predicted, tmp_path):
    with Queue(tmp_path) as other:
        assert other.studies() == predicted.studies()
        predicted.add(instance(2), "1.2.3")
        assert other.studies("receiving")[0].objects == 2
        assert [one.uid for one in other.instances("s")] == ["1.1", "1.2"]
    with pytest.raises(InputError, match="no such file"):
        Queue(tmp_path / "elsewhere")


def test_a_queue_of_another_version_or_program_is_refused_by_name(tmp_path):
    Ledger(tmp_path, create=True).close()
    path = tmp_path / QUEUE_FILE
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 6}")
    db.close()
    with pytest.raises(InputError, match=rf"{QUEUE_FILE}(.|\n)*version {VERSION + 6}, this fetal_monai has {VERSION}"):
        Ledger(tmp_path, create=True)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA application_id = 5")
    db.close()
    with pytest.raises(InputError, match="another program's database"):
        Ledger(tmp_path, create=True)
    for name in tmp_path.glob(f"{QUEUE_FILE}-*"):
        name.unlink()
    path.write_bytes(b"not a database" * 400)
    with pytest.raises(InputError, match="is no queue"):
        Ledger(tmp_path, create=True)


def test_a_clock_that_is_set_back_changes_nothing(ledger, monkeypatch):
    times = iter(f"20{99 - tick}-01-01T00:00:00+00:00" for tick in range(90))
    for module in ("queue", "ledger"):
        monkeypatch.setattr(f"fetal_monai.apps.node.{module}.now", lambda: next(times))
    ledger.add(instance(1), "1.2.3")
    ledger.close_study("s", 1)
    assert ledger.longest("closed").key == "s"
    assert ledger.finish_prediction("s", 1, [document("1")])
    ledger.not_sent("1", "dead")
    ledger.sent("1")
    ledger.add(instance(2), "1.2.3")
    ledger.close_study("s", 2)
    assert ledger.finish_prediction("s", 2, [document("2")], document("1"))
    ledger.sent("2")
    assert (state(ledger), ledger.study("s").version) == ("sent", 2)


STEPS = ["add", "lose", "close", "predict", "send", "fail", "retry"]


def take_step(ledger, step, flag):
    """Do one thing that the node, a peer or a person may do at any time."""
    study = ledger.study("s")
    seen = study.revision - (not flag)  # or what a slow worker saw before the last object
    if step == "add":
        ledger.add(instance(study.revision), "1.2.3")
    elif step == "lose" and study.objects > 1:
        ledger.lose(ledger.instances()[-1])
    elif step == "close":
        ledger.close_study("s", seen)
    elif step == "predict":
        ledger.finish_prediction("s", seen, [document(f"{seen}.1"), document(f"{seen}.2")], ledger.previous("s"))
    elif step == "send":
        for one in ledger.deliveries("pending"):
            ledger.sent(one.document.uid)
    elif step == "fail":
        ledger.fail_study("s", study.revision, "x")
        for one in ledger.deliveries("pending")[:flag]:
            ledger.not_sent(one.document.uid, "x", give_up=True)
    elif step == "retry" and ledger.failures():
        ledger.retry("s")


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.booleans())))
@settings(max_examples=20)
def test_whatever_happens_one_report_of_all_objects_is_left(steps):
    with tempfile.TemporaryDirectory() as folder, Ledger(folder, create=True) as ledger:
        ledger.add(instance(0), "1.2.3")
        end = ("retry", "close", "predict", "retry", "send")
        for step, flag in [*steps, *((step, True) for step in end)]:
            take_step(ledger, step, flag)
        study = ledger.study("s")
        assert study.state == "sent"
        newest = [one for one in ledger.deliveries() if one.version == study.version]
        assert {one.document.uid for one in newest} == {f"{study.revision}.1", f"{study.revision}.2"}
        assert not ledger.deliveries("pending")
        assert not ledger.deliveries("failed")
