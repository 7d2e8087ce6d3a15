"""From objects to reports in an archive that we did not write, and what becomes of a study that gets none."""

from __future__ import annotations

import stat
from copy import copy
from dataclasses import replace

import pytest
from pydicom import dcmread

from fetal_monai.apps.node.delivery import Sender
from fetal_monai.apps.node.destinations import parse_destination
from fetal_monai.apps.node.predicting import NotNow, WorkerDied
from fetal_monai.apps.node.records import KEY_OBJECTS, Document
from fetal_monai.apps.node.report import Job, report_study
from fetal_monai.apps.node.worker import Worker
from fetal_monai.inference.predictor import Predictor
from fetal_monai.metrics.selective import Abstention
from fetal_monai.study.protocol import load_protocol
from node_peers import AET, archive, collected, drops_sockets, free_port, send_raw, start, state, still, storescu, until

__all__ = ["archive", "collected", "start"]


@pytest.fixture(scope="module")
def predictor(model_dir):
    return Predictor(model_dir, "cpu")


@pytest.fixture(scope="module")
def process(predictor):
    """Predicts as the process of its own does, in this one."""

    class InPlace:
        protocol = load_protocol("isuog_mid_trimester")

        def start(self):
            pass

        def close(self):
            pass

        def report(self, job):
            previous = job["previous"]
            task = Job(**{**job, "previous": previous and Document(**previous)})
            return report_study(task, predictor, self.protocol)

    return InPlace()


@pytest.fixture
def run(start, process):
    """A node whose studies are predicted, with a sender if it has a destination."""
    running = []

    def make(destination=None, node=None, *, predicts=process, quiet=0.3, **options):
        node = node or start(**options)
        sender = Sender(node.storage, node.ledger, destination, first_pause=0.2) if destination else None
        wake = sender.wake if sender else lambda: None
        worker = Worker(node.storage, node.ledger, predicts, quiet=quiet, busy=node.receiver.busy_studies, wake=wake)
        running.extend([worker, *([sender] if sender else [])])
        return node

    yield make
    for one in running:
        one.close()


@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_dcmtk_to_the_node_to_orthanc(start, run, archive, tmp_path, way):
    node = start(allow=["SCANNER", "ARCHIVE"], port=archive.node_port)
    text = archive.destination if way == "C-STORE" else archive.web
    uid = "1.2.11" if way == "C-STORE" else "1.2.12"
    destination = parse_destination(text, AET, tls=lambda: None, on_commitment=node.receiver.commitment)
    run(destination, node)
    files = [still(tmp_path / f"{k}.dcm", k, study=uid) for k in range(3)]
    assert storescu(node.port, *files).returncode == 0
    until(lambda: state(node) == {"sent"})
    deliveries = node.ledger.deliveries()
    kinds = {"KO" if one.document.sop_class == KEY_OBJECTS else "SR": one.document.uid for one in deliveries}
    assert set(kinds) >= {"SR"}
    assert archive.documents(uid) == {(uid, kind): [document] for kind, document in kinds.items()}
    report = dcmread(node.storage / deliveries[0].document.file)
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert {item.ReferencedSOPInstanceUID for item in evidence} == {f"{uid}.9.{k}" for k in range(3)}
    if way == "C-STORE":
        until(lambda: all(one.committed for one in node.ledger.deliveries()))


def test_a_late_object_makes_a_second_report_that_names_the_first(run, archive, start, tmp_path):
    node = start()
    run(parse_destination(archive.web, AET, tls=lambda: None), node)
    assert send_raw(node.port, still(tmp_path / "1.dcm", 1, study="1.2.20")) == [0]
    until(lambda: state(node) == {"sent"})
    assert send_raw(node.port, still(tmp_path / "2.dcm", 2, study="1.2.20")) == [0]
    until(lambda: node.ledger.studies()[0].version == 2 and state(node) == {"sent"})
    first, second = (one.document for one in node.ledger.deliveries() if one.document.sop_class != KEY_OBJECTS)
    assert sorted(archive.documents("1.2.20")["1.2.20", "SR"]) == sorted([first.uid, second.uid])
    (study,) = dcmread(node.storage / second.file).PredecessorDocumentsSequence
    series = study.ReferencedSeriesSequence[0]
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == ("1.2.20", first.series)
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.uid
    assert "PredecessorDocumentsSequence" not in dcmread(node.storage / first.file)


class Dead:
    """Nobody is there, until somebody is."""

    alive = False

    def __init__(self, real):
        self.real = real

    def send(self, *arguments):
        dead = parse_destination(f"dicom://A@127.0.0.1:{free_port()}", AET, tls=lambda: None)
        (self.real if self.alive else dead).send(*arguments)


@drops_sockets
def test_a_dead_destination_delays_nothing_but_itself(run, archive, start, tmp_path):
    node = start()
    peer = Dead(parse_destination(archive.destination, AET, tls=lambda: None))
    run(peer, node)
    for k in range(3):
        assert send_raw(node.port, still(tmp_path / f"{k}.dcm", k, study=f"1.2.30.{k}")) == [0]
    until(lambda: state(node, 3) == {"predicted"})
    until(lambda: max(one.attempts for one in node.ledger.deliveries()) >= 2)
    assert "cannot be reached" in node.ledger.deliveries()[0].error
    peer.alive = True
    until(lambda: state(node, 3) == {"sent"})
    found = archive.documents("1.2.30")
    assert {study: len(uids) for (study, kind), uids in found.items() if kind == "SR"} == {
        f"1.2.30.{k}": 1 for k in range(3)
    }


def test_the_same_objects_have_the_same_report_and_others_another(predictor, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("fetal_monai.apps.node.report.sync", synced.append)
    protocol = load_protocol("isuog_mid_trimester")
    files = [still(tmp_path / f"{k}.dcm", k) for k in range(2)]

    def report(folder, digests, *, by=predictor, protocol=protocol, **more):
        job = Job(tuple(map(str, files)), digests, str(tmp_path / folder / "reports" / "s"), **more)
        return report_study(job, by, protocol)

    one, again, other = report("a", ("1", "2")), report("b", ("2", "1")), report("c", ("1", "3"))
    assert one == again
    assert not {made.uid for made in one} & {made.uid for made in other}
    shorter = report("shorter", ("1", "2"), protocol=replace(protocol, items=protocol.items[1:]))
    stricter = copy(predictor)
    stricter.decisions = replace(predictor.decisions, abstention=Abstention(0.05, 0.9, 0.7, 0.8, 0.04))
    uids = [{made.uid for made in found} for found in (one, shorter, report("stricter", ("1", "2"), by=stricter))]
    assert len(set.union(*uids)) == sum(map(len, uids)), "of another checklist, or other thresholds"
    for made in one:
        data = dcmread(tmp_path / "a" / made.file)
        assert (data.SOPInstanceUID, data.file_meta.MediaStorageSOPInstanceUID) == (made.uid, made.uid)
        assert (data.SeriesInstanceUID, data.SOPClassUID) == (made.series, made.sop_class)
        assert data.PatientName == "Secret^Name"
    written = next((tmp_path / "a").rglob("*.json"))
    assert written.stem == one[0].uid
    assert "Secret" not in written.read_text()
    folder = tmp_path / "a"
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in ("reports", "reports/s")] == [0o700] * 2
    assert {written, folder, folder / "reports", folder / "reports" / "s"} <= set(synced)
    itself = report("d", ("1", "2"), previous=one[0])
    assert "PredecessorDocumentsSequence" not in dcmread(tmp_path / "d" / itself[0].file)


def test_a_study_that_cannot_be_read_fails_with_the_reason_and_can_be_tried_again(run, tmp_path):
    node = run()
    assert send_raw(node.port, still(tmp_path / "odd.dcm", 1, PhotometricInterpretation="HSV")) == [0]
    until(lambda: state(node) == {"failed"})
    (failed,) = node.ledger.failures()
    assert "HSV" in failed.error
    node.ledger.retry(failed.key)
    until(lambda: node.ledger.studies()[0].changed_at > failed.changed_at and state(node) == {"failed"})
    assert send_raw(node.port, still(tmp_path / "good.dcm", 2)) == [0]
    until(lambda: state(node) == {"predicted"})
    assert node.ledger.deliveries(study=failed.key)


class Dying:
    """A process that dies of each study."""

    def __init__(self):
        self.asked = 0

    def start(self):
        pass

    def close(self):
        pass

    def report(self, job):  # noqa: ARG002
        self.asked += 1
        raise WorkerDied("the prediction process ended with status -11")


def test_a_study_that_kills_the_worker_is_not_tried_for_ever(run, tmp_path):
    dying = Dying()
    node = run(predicts=dying)
    assert send_raw(node.port, still(tmp_path / "a.dcm", 1)) == [0]
    until(lambda: state(node) == {"failed"})
    assert dying.asked == 3
    assert "status -11" in node.ledger.failures()[0].error


class Short:
    """A process that lacks something at first: itself, or memory."""

    def __init__(self, process, starting, reporting):
        self.process, self.starting, self.reporting = process, starting, reporting

    def start(self):
        if self.starting:
            raise self.starting.pop()

    def close(self):
        pass

    def report(self, job):
        if self.reporting:
            raise self.reporting.pop()
        return self.process.report(job)


def test_what_is_short_for_a_moment_fails_no_study(start, process, tmp_path):
    node = start()
    assert send_raw(node.port, still(tmp_path / "a.dcm", 1)) == [0]
    starting = [OSError(24, "Too many open files"), RuntimeError("can't start new thread")]
    short = Short(process, starting, [NotNow("OSError: No space left on device")] * 2)
    with Worker(node.storage, node.ledger, short, quiet=0.1, first_pause=0.05):
        until(lambda: state(node) == {"predicted"}, 20)


def test_a_document_that_is_lost_is_made_again(run, start, archive, tmp_path):
    node = start()
    run(node=node)
    assert send_raw(node.port, still(tmp_path / "a.dcm", 1, study="1.2.40")) == [0]
    until(lambda: state(node) == {"predicted"})
    lost = node.ledger.deliveries()[0].document
    (node.storage / lost.file).unlink()
    with Sender(node.storage, node.ledger, parse_destination(archive.web, AET, tls=lambda: None)):
        until(lambda: state(node) == {"sent"})
    assert archive.documents("1.2.40")["1.2.40", "SR"] == [lost.uid]
