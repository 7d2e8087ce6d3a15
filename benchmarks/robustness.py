"""What changes of a picture cost a model: accuracy on the test split as it is, and changed in one way at a time.

    python benchmarks/robustness.py DATA MODEL [MODEL ...]

Changes are made on the decoded frame, before the model's own preprocessing. Random ones (marks on the screen) are drawn
from a seed by image, the same for all models. The last ones put the picture on a scanner's screen, with and without the
ultrasound region that says where it is. In brackets: the difference to the unchanged pictures, with its interval
from resampling patients in pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fetal_monai.data import load_datalists
from fetal_monai.dicom.regions import DataType, Region, SpatialFormat, regions_to_text
from fetal_monai.inference import Prediction, Predictor
from fetal_monai.inference.inputs import Frame
from fetal_monai.metrics.compare import compare
from fetal_monai.metrics.prediction_table import Predictions
from fetal_monai.report.pictures import read_frame
from fetal_monai.transforms.screen_marks import draw_banner, draw_calipers, draw_text

Picture = NDArray[np.uint8]
Change = Callable[[Picture, np.random.RandomState], Picture]
SCREEN = (852, 1136)
BANNER = 68  # rows
SHARES = (0.8, 0.6)  # of the screen's width


def jpeg(quality: int) -> Change:
    """Compress as an archive does that saves space."""

    def change(frame: Picture, _: np.random.RandomState) -> Picture:
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

    def change(frame: Picture, _: np.random.RandomState) -> Picture:
        rows, columns = (round(side * share / 2) for side in frame.shape[:2])
        return np.ascontiguousarray(frame[rows : frame.shape[0] - rows, columns : frame.shape[1] - columns])

    return change


def marked(draw: Callable[[Picture, np.random.RandomState], None], times: int = 1) -> Change:
    """Draw on a copy of the frame."""

    def change(frame: Picture, random: np.random.RandomState) -> Picture:
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


def on_screen(picture: Picture, share: float, random: np.random.RandomState) -> tuple[Picture, Region]:
    """The picture on a black screen with banner, settings and scales, as wide as its share; and where it is."""
    rows, columns = SCREEN
    screen = np.zeros((rows, columns, 3), np.uint8)
    scale = min(share * columns / picture.shape[1], share * (rows - BANNER) / picture.shape[0])
    height, width = round(picture.shape[0] * scale), round(picture.shape[1] * scale)
    top, left = BANNER + (rows - BANNER - height) // 2, (columns - width) // 2
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    for _ in range(4):
        draw_text(screen, random)
    draw_banner(screen, random)
    cv2.line(screen, (columns - 6, BANNER), (columns - 6, rows), (196, 204, 208), 1)
    for row in range(BANNER, rows, 50):
        cv2.line(screen, (columns - 14, row), (columns - 6, row), (196, 204, 208), 1)
    screen[top : top + height, left : left + width] = cv2.resize(picture, (width, height), interpolation=way)
    place = (left, top, left + width - 1, top + height - 1)
    return screen, Region(SpatialFormat.TWO_D, DataType.TISSUE, *place, 3, 3, 0.02, 0.02)


def screens(frames: list[Picture], share: float, *, declared: bool) -> Iterator[Picture | Frame]:
    """Each picture on a screen; where declared, with the region that a scanner's header has."""
    for index, frame in enumerate(frames):
        screen, region = on_screen(frame, share, np.random.RandomState(index))
        meta = {"regions": regions_to_text([region]), "spatial_shape": list(SCREEN), "affine": torch.eye(3).double()}
        yield Frame("screen", None, -1, screen.transpose(2, 0, 1).copy(), meta) if declared else screen


def predictions(predictor: Predictor, frames: Iterable[Picture | Frame], items: list[dict[str, object]]) -> Predictions:
    """The predictor's table for frames of these items."""
    found = list(predictor.predict(frames))
    probabilities = [one.probabilities for one in found if isinstance(one, Prediction)]
    return Predictions(
        predictor.class_names,
        [str(item["SOPInstanceUID"]) for item in items],
        [-1] * len(items),
        [int(str(item["label"])) for item in items],
        probabilities,
        patient_ids=[str(item["patient_id"]) for item in items],
    )


def changed(frames: list[Picture], change: Change) -> Iterator[Picture]:
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
    changes: dict[str, Callable[[], Iterator[Picture | Frame]]] = {
        name: partial(changed, frames, change) for name, change in CHANGES.items()
    }
    for share in SHARES:
        name = f"on a screen, {share:.0%} of its width"
        changes[name] = partial(screens, frames, share, declared=False)
        changes[f"{name}, the region declared"] = partial(screens, frames, share, declared=True)
    for name, make in changes.items():
        cells = []
        for predictor, clean in zip(predictors, before, strict=True):
            after = predictions(predictor, make(), items)
            difference = compare(clean, after).difference["accuracy"]
            cells.append(
                f"{np.mean(after.predicted == after.labels):.3f} "
                f"({difference.value:+.3f}; {difference.low:+.3f} to {difference.high:+.3f})"
            )
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
