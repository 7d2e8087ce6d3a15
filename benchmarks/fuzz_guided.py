"""Read damaged DICOM files that a fuzzer chooses by the code they reach: a `DicomReadError` or an image may come of it.

libFuzzer by atheris (`pip install atheris`) sees the branches of `fetal_monai.dicom` and of pydicom, not those of the
native decoders. It begins with the small files of `fuzz_dicom.py`, keeps in FOLDER/corpus what reached something new,
goes on from there when it is started again, and stops at the first finding, which it leaves in FOLDER as a file.

    python benchmarks/fuzz_guided.py FOLDER [--minutes 20]
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import atheris

LARGEST = 64 * 1024  # bytes: small files are read more often, and their branches are the same
SECONDS, MEGABYTES = 5, 2048


def main() -> None:
    """Fuzz until the time is over or something is found; libFuzzer ends the process, with status 0 or another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["fetal_monai.dicom", "pydicom"]):
        from dicom_mutants import seeds  # noqa: PLC0415
        from fuzz_dicom import read_one  # noqa: PLC0415

        from fetal_monai.dicom import index_dicom  # noqa: PLC0415

    corpus = options.folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in seeds():
        if len(data) <= LARGEST:
            (corpus / name.replace(" ", "_")).write_bytes(data)

    path = options.folder / "now" / "m.dcm"
    path.parent.mkdir(exist_ok=True)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_one(path)
        index_dicom(path.parent)

    limits = [f"-max_len={LARGEST}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}"]
    ends = [f"-max_total_time={round(options.minutes * 60)}", f"-artifact_prefix={options.folder}/"]
    atheris.Setup([sys.argv[0], *limits, *ends, str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
