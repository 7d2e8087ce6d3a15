"""`python -m fetal_monai.apps.deploy`: the application from the command line, and in its container."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_monai.apps.deploy.runtime import prepare_runtime
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.model.facts import FACTS_FILE
from fetal_monai.model.released_model import released_model, released_notice

EPILOG = """exit status: 0 all images classified; 1 an error, nothing written; 2 wrong usage; 3 some images could
not be read, the others are in the output folder.
Research software. Not a medical device: not for diagnosis, treatment or triage."""
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser; the options and the variables behind them are those of all MONAI Deploy applications.

    Returns:
        The parser.
    """
    parser = argparse.ArgumentParser(
        prog="python -m fetal_monai.apps.deploy",
        description="Classify the fetal planes of ultrasound studies; write a DICOM structured report for each.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flag, name, variable, needed, text in (
        ("-i", "--input", "HOLOSCAN_INPUT_PATH", True, "folder with the DICOM files of one or more studies"),
        ("-o", "--output", "HOLOSCAN_OUTPUT_PATH", True, "folder for the results; it is made, or must be empty"),
        ("-m", "--model", "HOLOSCAN_MODEL_PATH", False, "model folder; without one, the model of fetal_monai itself"),
    ):
        default = os.environ.get(variable) or None
        required = needed and default is None
        parser.add_argument(flag, name, type=Path, default=default, required=required, help=f"{text} (or {variable})")
    parser.add_argument("-l", "--log-level", type=str.upper, choices=LEVELS, help="show what the SDK reports")
    return parser


def find_model(folder: Path) -> Path:
    """Find the model folder: itself, or the only one below it, as in a container.

    Args:
        folder: as given.

    Returns:
        The folder with model.json; `folder` if there is none, so that reading it says what is missing.

    Raises:
        InputError: if there are several.
    """
    if (folder / FACTS_FILE).exists() or not folder.is_dir():
        return folder
    below = sorted(path.parent for path in folder.glob(f"*/{FACTS_FILE}"))
    if len(below) > 1:
        names = ", ".join(path.name for path in below)
        raise InputError(folder, [f"holds several models ({names}); name one of them"])
    return below[0] if below else folder


def run(input_folder: Path, output_folder: Path, model_folder: Path | None, log_level: str | None = None) -> int:
    """Run the application and tell what it did.

    Args:
        input_folder: DICOM files.
        output_folder: for the results.
        model_folder: the model; None takes the released one, and says so.
        log_level: of Holoscan's messages; None for none.

    Returns:
        How many images could not be read.

    Raises:
        FetalMonaiError: if the SDK is missing, the input holds no ultrasound, the model is unusable or the output
            folder cannot take the results.
    """
    if not input_folder.is_dir():
        raise InputError(input_folder, ["there is no such folder; give the folder with the DICOM files"])
    if output_folder.is_dir() and any(not entry.name.startswith(".") for entry in output_folder.iterdir()):
        raise InputError(output_folder, ["is not empty; name another folder"])
    if model_folder is None:
        model_folder = released_model()
        sys.stderr.write(f"{released_notice()}\n")
    prepare_runtime(log_level or "OFF")  # before anything imports MONAI
    from fetal_monai.apps.deploy.app import FetalPlanesApp  # noqa: PLC0415
    from fetal_monai.inference import Predictor  # noqa: PLC0415
    from fetal_monai.results.folder import JSON_FILE, REPORTS_FOLDER, results_folder  # noqa: PLC0415

    predictor = Predictor(find_model(model_folder), throughput=True)
    with results_folder(output_folder) as staging:
        FetalPlanesApp(input_folder=input_folder, output_folder=staging, predictor=predictor).run()
    content = json.loads((output_folder / JSON_FILE).read_text(encoding="utf-8"))
    images, failures = content["images"], content["failures"]
    reports = len(list((output_folder / REPORTS_FOLDER).glob("*")))  # where none can be made, there is no folder
    sys.stdout.write(f"{output_folder}: {len(images)} images in {reports} structured reports\n")
    if failures:
        sys.stderr.write(f"{len(failures)} images could not be read (all are in {JSON_FILE}):\n")
        sys.stderr.writelines(f"  {failure['message']}\n" for failure in failures[:20])
    return len(failures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line.

    Args:
        arguments: instead of those of the process.

    Returns:
        The exit status: 0, 1 or 3; wrong usage leaves with 2.
    """
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=options.log_level or "WARN", format="%(levelname)s %(name)s: %(message)s")
    try:
        failures = run(options.input, options.output, options.model, options.log_level)
    except FetalMonaiError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 3 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
