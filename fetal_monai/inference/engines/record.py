"""What an exported file says of itself, so that the file of another model is refused by name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path

import torch

from fetal_monai.errors import InputError
from fetal_monai.inference.engines.engine import Engine, EngineModel
from fetal_monai.inference.engines.graph import ViewShapes, probe, view_shapes
from fetal_monai.networks.mirror_images import averages_flips

KEY = "fetal_monai"
"""The entry of ONNX's metadata_props and of OpenVINO's rt_info that holds the record, as JSON."""
TORCHSCRIPT_FILE = "fetal_monai.json"
"""The same among TorchScript's extra files."""
FOLDER = "engines"
FILES = {
    "onnx": "model.onnx",
    "onnx-int8": "model.int8.onnx",
    "openvino": "openvino/model.xml",
    "openvino-int8": "openvino-int8/model.xml",
    "torchscript": "model.ts",
}
_NEAR = {"float32": 1e-3, "int8": 0.1}
"""Of the probe's greatest logit: another processor rounds otherwise, another network is far off."""


@dataclass(frozen=True)
class Record:
    """The model that an exported file was made of.

    Args:
        weights_sha256: of `model.pt`.
        preprocessing_sha256: as in `ModelIdentity`.
        class_names: in the order of the logits.
        views: shape (3, h, w) of each input, by its name.
        precision: float32 or int8.
        average_flips: up to which probability of the most probable class whoever runs the file averages the features of
            an image and its mirror images, as `MirroredEngine` does; 0: never.
        made_by: the version of fetal_monai.
        probe: what the eager network says of two made images in one pass, two lists of logits; for int8, what the
            quantised one says.
    """

    weights_sha256: str
    preprocessing_sha256: str
    class_names: tuple[str, ...]
    views: ViewShapes
    precision: str
    average_flips: float
    made_by: str
    probe: tuple[tuple[float, ...], ...]

    def to_json(self) -> str:
        """Write it in one line."""
        return json.dumps(asdict(self), ensure_ascii=True, separators=(",", ":"))


def make_record(model: EngineModel, reference: Engine, precision: str) -> Record:
    """Describe a file that is about to be exported.

    Args:
        model: what it is made of.
        reference: the eager engine, for one pass.
        precision: float32 or int8.

    Returns:
        The record.

    Raises:
        FetalMonaiError: if the views have no fixed size.
    """
    views = view_shapes(model.preprocessing)
    return Record(
        weights_sha256=model.identity.weights_sha256,
        preprocessing_sha256=model.identity.preprocessing_sha256,
        class_names=model.class_names,
        views=views,
        precision=precision,
        average_flips=averages_flips(model.network),
        made_by=model.identity.fetal_monai_version,
        probe=_answers(reference, views),
    )


def answered_by(engine: Engine, record: Record) -> Record:
    """Put the answers of a quantised network in place of the eager one's: they are further apart than damage may be.

    Args:
        engine: that runs it.
        record: of the file that it is about to become.

    Returns:
        The record with its answers.
    """
    return replace(record, probe=_answers(engine, record.views))


def _answers(engine: Engine, views: ViewShapes) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, engine.forward(probe(views))[0].tolist()))


def read_record(text: str | None, path: str | PathLike[str]) -> Record:
    """Read what `Record.to_json` wrote.

    Args:
        text: found in an exported file; None: there was none.
        path: that file, for the error.

    Returns:
        The record.

    Raises:
        InputError: if it is none.
    """
    try:
        content = json.loads(text or "")
        views = {str(name): tuple(map(int, shape)) for name, shape in content.pop("views").items()}
        answers = tuple(tuple(map(float, row)) for row in content.pop("probe"))
        return Record(class_names=tuple(content.pop("class_names")), views=views, probe=answers, **content)
    except (ValueError, TypeError, KeyError, AttributeError):
        problem = (
            "it does not say which model it is of: fetal-monai export did not write it, or an older version did; "
            "export the model again"
        )
        raise InputError(path, [problem]) from None


def check_record(record: Record, path: str | PathLike[str], model: EngineModel, engine: Engine) -> None:
    """See that a file belongs to a model folder and computes what it was made of.

    Args:
        record: of the file.
        path: the file, for the error.
        model: of the folder.
        engine: made of the file.

    Raises:
        InputError: with a line for each thing that is of another model; or if the answers are other ones.
    """
    mine = model.identity
    pairs = (
        ("weights", record.weights_sha256[:12], mine.weights_sha256[:12]),
        ("preprocessing", record.preprocessing_sha256[:12], mine.preprocessing_sha256[:12]),
        ("classes", ", ".join(record.class_names), ", ".join(model.class_names)),
        ("average_flips", f"{record.average_flips:g}", f"{averages_flips(model.network):g}"),
    )
    again = f"export it again: fetal-monai export {model.folder} --overwrite"
    problems = [
        f"it is of another model: {what} {theirs}, not {ours}; {again}"
        for what, theirs, ours in pairs
        if theirs != ours
    ]
    if problems:
        raise InputError(path, problems)
    expected = torch.tensor(record.probe, dtype=torch.float64)
    logits = engine.forward(probe(record.views))[0].double()
    near = _NEAR.get(record.precision, _NEAR["float32"]) * expected.abs().max().clamp(min=1)
    if logits.shape != expected.shape or not bool((logits - expected).abs().max() <= near):
        raise InputError(path, [f"it no longer computes what the model does: it is damaged; {again}"])


def stored_file(model: EngineModel, kind: str) -> Path:
    """Where a model folder keeps an exported file, whether it is there or not.

    Args:
        model: of the folder.
        kind: a key of `FILES`.
    """
    return model.folder / FOLDER / FILES[kind]
