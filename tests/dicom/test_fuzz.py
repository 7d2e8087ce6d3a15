"""A bounded run of the mutation fuzz; `python benchmarks/fuzz_dicom.py` is the full one."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_dicom.py"


@pytest.fixture(scope="module")
def fuzzer():
    spec = importlib.util.spec_from_file_location("fuzz_dicom", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_damaged_files_are_refused_or_read_and_nothing_else_happens(fuzzer):
    counts = fuzzer.fuzz(range(500), tolerate_slow=10)  # other tests run beside this one
    assert set(counts) == {"error", "image"}
    assert counts["image"] > 50


def test_mutants_are_repeatable_and_different(fuzzer):
    files = fuzzer.seeds()
    mutants = [fuzzer.mutant(number, files) for number in range(40)]
    assert mutants == [fuzzer.mutant(number, files) for number in range(40)]
    assert len({data for _, data in mutants}) == 40
    originals = {data for _, data in files}
    assert sum(data not in originals for _, data in mutants) >= 38


def test_the_fuzz_would_notice_a_crash_and_an_unexpected_exception(fuzzer, monkeypatch, tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(
        "import os, sys, json\n"
        "for line in sys.stdin:\n"
        "    if int(line) == 1: os.abort()\n"
        "    outcome = 'KeyError: x' if int(line) == 2 else 'error'\n"
        "    print(json.dumps([outcome, 0.0, 900.0 * (int(line) == 3), '']), flush=True)\n"
    )
    monkeypatch.setattr(fuzzer, "__file__", str(script))
    counts = fuzzer.fuzz(range(5))
    findings = sorted(key.split(" ", 2)[2] for key in counts if key != "error")
    assert findings == ["KeyError: x", "greedy: 900 MB", "the process died"]
    assert counts["error"] == 2
