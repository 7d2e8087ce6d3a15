"""What changes of a picture cost a model: accuracy on the test split as it is, and changed in one way at a time.

    python benchmarks/robustness.py DATA MODEL [MODEL ...]

Changes are made on the decoded frame, before the model's own preprocessing. Random ones (marks on the screen) are drawn
from a seed by image, the same for all models. In brackets: the difference to the unchanged pictures, with its interval
from resampling patients in pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fetal_monai.data import load_datalists
from fetal_monai.inference import Prediction, Predictor
from fetal_monai.metrics.compare import compare
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.report.pictures import read_frame
from fetal_monai.transforms.screen_marks import draw_banner, draw_calipers, draw_text

Frame = NDArray[np.uint8]
Change = Callable[[Frame, np.random.RandomState], Frame]


def jpeg(quality: int) -> Change:
    """Compress as an archive does that saves space."""

    def change(frame: Frame, _: np.random.RandomState) -> Frame:
        encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)

    return change


def levels(function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Change:
    """Map grey levels, 0 to 1."""
    table = np.rint(np.clip(function(np.arange(256) / 255), 0, 1) * 255).astype(np.uint8)
    return lambda frame, _: table[frame]


def resized(height: float, width: float) -> Change:
    """Squash the frame to other proportions."""
    return lambda frame, _: np.asarray(
        cv2.resize(
            frame, (round(frame.shape[1] * width), round(frame.shape[0] * height)), interpolation=cv2.INTER_AREA
        ),
        dtype=np.uint8,
    )


def cropped(share: float) -> Change:
    """Cut the share off height and width, half on each side."""

    def change(frame: Frame, _: np.random.RandomState) -> Frame:
        rows, columns = (round(side * share / 2) for side in frame.shape[:2])
        return np.ascontiguousarray(frame[rows : frame.shape[0] - rows, columns : frame.shape[1] - columns])

    return change


def marked(draw: Callable[[Frame, np.random.RandomState], None], times: int = 1) -> Change:
    """Draw on a copy of the frame."""

    def change(frame: Frame, random: np.random.RandomState) -> Frame:
        copy = frame.copy()
        for _ in range(times):
            draw(copy, random)
        return copy

    return change


CHANGES: dict[str, Change] = {
    "JPEG of quality 50": jpeg(50),
    "gain + 3 dB (values x 1.41)": levels(lambda x: x * 10 ** (3 / 20)),
    "gain - 3 dB (values x 0.71)": levels(lambda x: x * 10 ** (-3 / 20)),
    "gamma 0.7": levels(lambda x: x**0.7),
    "gamma 1.4": levels(lambda x: x**1.4),
    "blur, sigma 0.5 % of the height": lambda f, _: np.asarray(cv2.GaussianBlur(f, (0, 0), f.shape[0] / 200), np.uint8),
    "10 % cropped": cropped(0.1),
    "width x 0.8": resized(1.0, 0.8),
    "height x 0.8": resized(0.8, 1.0),
    "calipers (two)": marked(draw_calipers, 2),
    "text (three)": marked(draw_text, 3),
    "banner": marked(draw_banner),
}


def predictions(predictor: Predictor, frames: list[Frame], items: list[dict[str, object]]) -> Predictions:
    """The predictor's table for frames of these items."""
    found = list(predictor.predict(iter(frames)))
    probabilities = [one.probabilities for one in found if isinstance(one, Prediction)]
    return Predictions(
        predictor.class_names,
        [str(item["SOPInstanceUID"]) for item in items],
        [-1] * len(items),
        [int(str(item["label"])) for item in items],
        probabilities,
        patient_ids=[str(item["patient_id"]) for item in items],
    )


def changed(frames: list[Frame], change: Change) -> Iterator[Frame]:
    """Each frame changed, with random numbers of its own."""
    for index, frame in enumerate(frames):
        yield np.ascontiguousarray(change(frame, np.random.RandomState(index)))


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with DICOM and annotations.csv.")
    parser.add_argument("models", type=Path, nargs="+", help="Model folders that have not seen its test split.")
    parser.add_argument("--annotations", type=Path, help="Another table of labels; its test split is measured.")
    arguments = parser.parse_args()
    predictors = [Predictor(model) for model in arguments.models]
    table = arguments.annotations or arguments.data / "annotations.csv"
    items = load_datalists(table, arguments.data, predictors[0].class_names, splits=["test"])["test"]
    frames = [np.ascontiguousarray(read_frame(item["image"])) for item in items]
    before = [predictions(predictor, frames, items) for predictor in predictors]
    print(f"| change | {' | '.join(model.parent.name for model in arguments.models)} |")
    print(f"|---|{'---|' * len(predictors)}")
    print(f"| none | {' | '.join(f'{np.mean(one.predicted == one.labels):.3f}' for one in before)} |")
    for name, change in CHANGES.items():
        cells = []
        for predictor, clean in zip(predictors, before, strict=True):
            after = predictions(predictor, list(changed(frames, change)), items)
            difference = compare(clean, after).difference["accuracy"]
            cells.append(
                f"{np.mean(after.predicted == after.labels):.3f} "
                f"({difference.value:+.3f}; {difference.low:+.3f} to {difference.high:+.3f})"
            )
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
