"""From objects to reports in an archive that we did not write."""

from __future__ import annotations

import stat
import time

import pytest
import torch
from pydicom import dcmread

from fetal_monai.apps.node.delivery import Sender
from fetal_monai.apps.node.destinations import DicomDestination, Unreachable, WebDestination, parse_destination
from fetal_monai.apps.node.predicting import ModelSettings, NotNow, PredictionProcess, WorkerDied, answer_job
from fetal_monai.apps.node.records import KEY_OBJECTS, Document
from fetal_monai.apps.node.report import Job, report_study
from fetal_monai.apps.node.worker import Worker
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference.predictor import Predictor
from fetal_monai.study.protocol import load_protocol
from node_peers import AET, archive, collected, drops_sockets, free_port, send_raw, start, still, storescu

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


def until(ready, seconds=60):
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)
    return found


def state(node, count=1):
    studies = node.ledger.studies()
    return len(studies) == count and {one.state for one in studies}


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

    def report(folder, digests, **more):
        job = Job(tuple(map(str, files)), digests, str(tmp_path / folder / "reports" / "s"), **more)
        return report_study(job, predictor, protocol)

    one, again, other = report("a", ("1", "2")), report("b", ("2", "1")), report("c", ("1", "3"))
    assert one == again
    assert not {made.uid for made in one} & {made.uid for made in other}
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


def test_a_refused_document_is_tried_again_and_given_up_in_the_end(start, process, tmp_path, monkeypatch):
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


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (OSError(28, "No space left on device"), {"retry": "OSError: No space left on device"}),
        (MemoryError(), {"retry": "MemoryError: there is not enough memory"}),
        (torch.OutOfMemoryError("CUDA"), {"retry": "OutOfMemoryError: there is not enough memory"}),
        (InputError("study", ["it holds no image"]), {"error": "study: 1 problem\n  it holds no image"}),
        (
            InputError("study", ["a.dcm: it is damaged: ValueError: 'Secret^\nName' is long; export the file again"]),
            {"error": "study: 1 problem\n  a.dcm: it is damaged: ValueError; export the file again"},
        ),
        (ValueError("Secret"), {"error": "the prediction failed: ValueError; please report this"}),
    ],
)
def test_what_is_no_fault_of_a_study_is_answered_so(monkeypatch, error, answer):
    def fail(*_):
        raise error

    monkeypatch.setattr("fetal_monai.apps.node.report.report_study", fail)
    job = {"files": [], "digests": [], "folder": "f", "previous": None}
    assert answer_job(job, None, None) == answer
    process = PredictionProcess(ModelSettings())
    monkeypatch.setattr(process, "start", lambda: None)
    monkeypatch.setattr(process, "_ask", lambda _: answer)
    with pytest.raises(NotNow if "retry" in answer else FetalMonaiError):
        process.report(job)


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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "orthanc",
        "dicom://127.0.0.1:104",
        "dicom://AET@host",
        "dicom://TOO_LONG_FOR_AN_AET@h:1",
        "dicom://A@h:x",
        "https://user:secret@host/dicom-web",
        "ftp://A@host:21",
    ],
)
def test_what_is_no_destination(text):
    with pytest.raises(InputError) as caught:
        parse_destination(text, AET, tls=lambda: None)
    assert "secret" not in str(caught.value)


def test_destinations_are_understood():
    found = parse_destination("dicom://ORTHANC@[::1]:4242", AET, tls=lambda: None)
    assert isinstance(found, DicomDestination)
    assert (found.aet, found.host, found.port, found.own_aet) == ("ORTHANC", "::1", 4242, AET)
    assert isinstance(parse_destination("https://host/dicom-web", AET, tls=lambda: None), WebDestination)


@drops_sockets
def test_nobody_there(tmp_path):
    port, path = free_port(), still(tmp_path / "a.dcm", 1)
    for text in (f"dicom://A@127.0.0.1:{port}", f"http://127.0.0.1:{port}/dicom-web"):
        with pytest.raises(Unreachable, match="cannot be reached"):
            parse_destination(text, AET, tls=lambda: None).send([path], None, None)


def test_a_process_that_was_not_asked_is_not_kept(monkeypatch):
    def fail(_):
        raise RuntimeError("can't start new thread")

    with PredictionProcess(ModelSettings()) as process:
        monkeypatch.setattr(process, "_ask", fail)
        with pytest.raises(RuntimeError):
            process.start()
        assert process._process is None, "its answer about the model would be taken for that to a study"


@pytest.mark.slow
def test_the_process_survives_its_studies_and_says_what_is_wrong(model_dir, tmp_path):
    folder = tmp_path / "x" / "reports" / "s"
    job = {"files": [str(still(tmp_path / "a.dcm", 1))], "digests": ["1"], "folder": str(folder), "previous": None}
    with PredictionProcess(ModelSettings(str(model_dir), device="cpu")) as process:
        (report, *_) = process.report(job)
        assert dcmread(tmp_path / "x" / report.file).SOPInstanceUID == report.uid
        with pytest.raises(FetalMonaiError, match="not a DICOM file"):
            process.report({**job, "files": [__file__]})
        child = process._process
        child.stdin.close()  # as if the node had died
        assert child.wait(timeout=20) == 0
        with pytest.raises(WorkerDied):
            process._ask(job)
    nothing = PredictionProcess(ModelSettings(str(tmp_path / "none"), device="cpu"))
    with nothing, pytest.raises(FetalMonaiError, match="none"):
        nothing.start()
