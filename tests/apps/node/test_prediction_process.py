"""The process that predicts for a node: what it answers, and how it begins and ends."""

from __future__ import annotations

import pytest
import torch
from pydicom import dcmread

from fetal_monai.apps.node.predicting import ModelSettings, NotNow, PredictionProcess, WorkerDied, answer_job
from fetal_monai.errors import FetalMonaiError, InputError
from node_peers import still


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
