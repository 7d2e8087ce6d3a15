"""A model as a file for other runtimes, checked against PyTorch before it gets its name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Literal

import torch

from fetal_monai.data.phantom import PhantomSpec, generate_phantom
from fetal_monai.errors import FetalMonaiError, InputError
from fetal_monai.inference.discover import find_images
from fetal_monai.inference.engines.eager import EagerEngine
from fetal_monai.inference.engines.engine import Engine, EngineModel, require
from fetal_monai.inference.engines.graph import traced
from fetal_monai.inference.engines.onnxruntime_engine import OnnxRuntimeEngine, to_onnx, with_record
from fetal_monai.inference.engines.openvino_engine import (
    OpenVinoEngine,
    convert,
    import_openvino,
    quantised_engine,
    read_openvino,
)
from fetal_monai.inference.engines.parity import FLOAT32, INT8, Limits, Parity, compare
from fetal_monai.inference.engines.quantise import LEAST_IMAGES, quantise
from fetal_monai.inference.engines.record import (
    KEY,
    TORCHSCRIPT_FILE,
    Record,
    answered_by,
    check_record,
    make_record,
    read_record,
    stored_file,
)
from fetal_monai.inference.identity import model_identity
from fetal_monai.inference.inputs import Frame, decode_frame
from fetal_monai.inference.views import Views, loaded_image, prepare, stack_views
from fetal_monai.model.folder import WEIGHTS_FILE, load_model
from fetal_monai.model.released_model import is_released
from fetal_monai.networks.mirror_images import one_pass
from fetal_monai.utils.files import atomic_path

Target = Literal["onnx", "openvino", "torchscript"]
MOST_CHECKED, MOST_CALIBRATING = 64, 100
_PHANTOMS = 12


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Args:
        path: the file.
        parity: how it compares with the eager network in float32.
    """

    path: Path
    parity: Parity


def export_model(
    folder: str | PathLike[str],
    target: Target,
    out: str | PathLike[str] | None = None,
    *,
    images: Sequence[str | PathLike[str]] = (),
    int8: Sequence[str | PathLike[str]] = (),
    overwrite: bool = False,
) -> Exported:
    """Write a model for another runtime: its views in, logits and features out, for any number of images.

    Args:
        folder: the model folder.
        target: what for.
        out: the file to write; None: where `Predictor` looks for it, in the folder `engines` of the model folder.
        images: files and folders to compare on, at most `MOST_CHECKED`; none takes made images of all planes.
        int8: likewise, to quantise with: of every other image the ranges are taken, on the rest it is compared. Not for
            TorchScript.
        overwrite: replace a file that is there.

    Returns:
        The file, and how it compares.

    Raises:
        InputError: if the model folder is not right, `out` exists or cannot be written, or images cannot be read.
        FetalMonaiError: if the network cannot be exported, a package is missing, or the file does not compute what
            the model does. Nothing is written then.
    """
    if int8 and target == "torchscript":
        raise FetalMonaiError("--int8 goes with --to onnx or --to openvino: TorchScript has no 8-bit integers here")
    require({"onnx": "onnxruntime", "openvino": "openvino", "torchscript": "torch"}[target])
    model = _load(Path(folder))
    kind = f"{target}-int8" if int8 else target
    if out is None and is_released(folder):
        raise InputError(
            folder, ["this model belongs to the installed package and is only read; name a file with --out"]
        )
    path = stored_file(model, kind) if out is None else Path(out)
    suffix = stored_file(model, kind).suffix
    if path.suffix != suffix:
        raise InputError(path, [f"a file for {target} ends in {suffix}; choose another --out"])
    if path.exists() and not overwrite:
        raise InputError(path, ["it is there already; choose another --out, or add --overwrite"])
    calibrating, checked = _images(model, images, int8)
    reference = EagerEngine(one_pass(model.network), features=True)
    record = make_record(model, reference, "int8" if int8 else "float32")
    with _errors_named(path), _temporary(path, target) as temporary:
        _WRITERS[target](model, record, calibrating, temporary)
        engine, text = _open(target, temporary, record.precision)
        check_record(read_record(text, path), path, model, engine)
        parity = compare(engine, reference, _batches(checked))
        _refuse(parity, INT8 if int8 else FLOAT32, path)
    return Exported(path, parity)


def _load(folder: Path) -> EngineModel:
    network, preprocessing, facts = load_model(folder)
    identity = model_identity(facts, folder / WEIGHTS_FILE)
    return EngineModel(folder, network, preprocessing, identity, tuple(facts.class_names))


def _images(
    model: EngineModel, images: Sequence[str | PathLike[str]], int8: Sequence[str | PathLike[str]]
) -> tuple[list[Views], list[Views]]:
    """The views of images that calibrate, and of those that are compared."""
    calibrating: list[Views] = []
    checked: list[Views] = []
    if int8:
        rows = _read(model, int8, 2 * MOST_CALIBRATING)
        if len(rows) < LEAST_IMAGES:
            problem = f"{len(rows)} images are too few to quantise with; give {LEAST_IMAGES} or more, of all classes"
            raise InputError(", ".join(map(str, int8)), [problem])
        calibrating, checked = rows[::2], rows[1::2]
    if images:
        checked = _read(model, images, MOST_CHECKED)
    elif not int8:
        with tempfile.TemporaryDirectory() as made:
            spec = PhantomSpec(patients=_PHANTOMS, images_per_patient=1, size=(240, 320), seed=1)
            generate_phantom(Path(made, "phantom"), spec, workers=1)
            checked = _read(model, [Path(made, "phantom")], _PHANTOMS)
    return calibrating, checked


def _read(model: EngineModel, inputs: Sequence[str | PathLike[str]], most: int) -> list[Views]:
    found = find_images(inputs).frames
    step = max(1, len(found) // most)  # from all over the folder
    rows = []
    for reference in found[::step][:most]:
        frame = decode_frame(reference)
        if isinstance(frame, Frame):
            rows.append(prepare(model.preprocessing, loaded_image(torch.from_numpy(frame.pixels), frame.meta)))
    if not rows:
        raise InputError(", ".join(map(str, inputs)), ["none of the images can be read; name others"])
    return rows


def _batches(rows: list[Views]) -> Iterator[list[torch.Tensor]]:
    """All images, in batches of 1, 2, 5 and 8, so that a size that was frozen in the export shows."""
    start = 0
    for size in (1, 2, 5, *([8] * len(rows))):
        if start < len(rows):
            yield stack_views(rows[start : start + size])
        start += size


@contextmanager
def _temporary(path: Path, target: Target) -> Iterator[Path]:
    """A name to write to, renamed when all is well; OpenVINO's two files go together."""
    if target != "openvino":
        with atomic_path(path) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix=".engine.", dir=_made(path.parent)) as folder:
        yield Path(folder, path.name)
        for suffix in (".bin", ".xml"):  # a new .bin under an old .xml is noticed by its probe
            Path(folder, path.name).with_suffix(suffix).replace(path.with_suffix(suffix))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Name the file that was asked for, and the cause, whatever library stumbled over it."""
    try:
        yield
    except FetalMonaiError:
        raise
    except (OSError, RuntimeError) as error:  # torch and OpenVINO give a full disk as a RuntimeError
        lines = str(getattr(error, "strerror", None) or error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            path, [f"it cannot be written ({lines[0][:200]}); see to the disk, or name another --out"]
        ) from error


def _write_onnx(model: EngineModel, record: Record, calibrating: list[Views], path: Path) -> None:
    content = to_onnx(model.network, record.views)
    if calibrating:
        content = quantise(content, _one_by_one(calibrating))
        record = answered_by(OnnxRuntimeEngine(content, precision=record.precision), record)
    path.write_bytes(with_record(content, record.to_json()))


def _write_openvino(model: EngineModel, record: Record, calibrating: list[Views], path: Path) -> None:
    openvino = import_openvino()
    if calibrating:
        content = quantise(to_onnx(model.network, record.views), _one_by_one(calibrating), results=False)
        converted = openvino.Core().read_model(content)
        record = answered_by(quantised_engine(converted), record)
    else:
        converted = convert(model.network, record.views)
    converted.set_rt_info(record.to_json(), [KEY])
    openvino.save_model(converted, path, compress_to_fp16=False)


def _write_torchscript(model: EngineModel, record: Record, _: list[Views], path: Path) -> None:
    content = BytesIO()  # given a path, torch ends the process where the disk is full
    torch.jit.save(
        traced(model.network, record.views), content, _extra_files={TORCHSCRIPT_FILE: record.to_json().encode()}
    )
    path.write_bytes(content.getbuffer())


_WRITERS = {"onnx": _write_onnx, "openvino": _write_openvino, "torchscript": _write_torchscript}


def _one_by_one(images: list[Views]) -> Iterator[list[torch.Tensor]]:
    return (stack_views([views]) for views in images)


class _TorchScript:
    """A TorchScript file as an engine, to check it; `Predictor` has no use for one."""

    name, lanes = "TorchScript", 1

    def __init__(self, path: Path) -> None:
        extra = {TORCHSCRIPT_FILE: ""}
        self._module = torch.jit.load(path, _extra_files=extra)
        found = extra[TORCHSCRIPT_FILE]
        self.record = found.decode() if isinstance(found, bytes) else found

    @torch.inference_mode()
    def forward(self, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        logits, features = self._module(*batch)
        return logits, features


def _open(target: Target, path: Path, precision: str) -> tuple[Engine, str | None]:
    """The file as `Predictor` runs it."""
    if target == "openvino":
        network, text = read_openvino(path)
        return (quantised_engine if precision == "int8" else OpenVinoEngine)(network), text
    engine = OnnxRuntimeEngine(path, precision=precision) if target == "onnx" else _TorchScript(path)
    return engine, engine.record


def _refuse(parity: Parity, limits: Limits, path: Path) -> None:
    if not parity.within(limits):
        bound = (
            f"the limit is {limits.relative:.0e}"
            if limits.relative is not None
            else f"{limits.agreement:.0%} must agree"
        )
        raise InputError(path, [f"not written: it does not compute what the model does ({parity}; {bound})"])
