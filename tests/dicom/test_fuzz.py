"""A bounded run of the mutation fuzz; `python benchmarks/fuzz_dicom.py` is the full one."""

import fuzz_dicom as fuzzer


def test_damaged_files_are_refused_or_read_and_nothing_else_happens():
    counts = fuzzer.fuzz(range(500), tolerate_slow=10)  # other tests run beside this one
    assert set(counts) == {"error", "image"}
    assert counts["image"] > 50


def test_damaged_data_sets_and_tables_are_refused_or_imported_and_nothing_else_happens():
    counts = fuzzer.fuzz(range(200), tolerate_slow=10, imports=True)
    assert set(counts) == {"error", "image"}
    assert counts["image"] > 20


def test_mutants_are_repeatable_and_different():
    files = fuzzer.seeds()
    mutants = [fuzzer.mutant(number, files) for number in range(40)]
    assert mutants == [fuzzer.mutant(number, files) for number in range(40)]
    assert len({data for _, data in mutants}) == 40
    originals = {data for _, data in files}
    assert sum(data not in originals for _, data in mutants) >= 38


def test_the_fuzz_would_notice_a_crash_and_an_unexpected_exception(monkeypatch, tmp_path):
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
