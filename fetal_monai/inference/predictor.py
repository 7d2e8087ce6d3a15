"""The one inference path: a model folder in, calibrated predictions out."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fetal_monai.errors import FetalMonaiError, find_user_error
from fetal_monai.inference.engines.choose import choose_engine
from fetal_monai.inference.engines.engine import EngineModel
from fetal_monai.inference.identity import model_identity
from fetal_monai.inference.inputs import Frame, Input, Run, decode_run, plan_runs
from fetal_monai.inference.look_inside import Look, look_inside
from fetal_monai.inference.prediction import Prediction, ReadFailure
from fetal_monai.inference.views import Views, loaded_image, metadata_for, prepare, stack_views
from fetal_monai.model.decisions import read_decisions
from fetal_monai.model.folder import WEIGHTS_FILE, load_model
from fetal_monai.model.released_model import released_model, released_notice
from fetal_monai.utils.thread_pool import thread_pool
from fetal_monai.utils.work_ahead import work_ahead

logger = logging.getLogger(__name__)

_SEEN = np.zeros((3, 0, 0), np.uint8)  # in place of pixels that nobody needs any more
_TORCH = ("auto", "torch")  # engines that a GPU may run; all others are for the CPU
Measure = Callable[[Frame], Any]


class Predictor:
    """A trained model, ready to classify.

    The numbers are those of `python -m monai.bundle run evaluating` in float32 on the same images. Calibration,
    abstention, conformal sets and out-of-distribution scores apply as far as the model folder holds them
    (see `fetal_monai.model.decisions`). Threads may share it: they take turns at the network, or at its lanes.

    Args:
        model_dir: the model folder: `model.pt`, `model.json`, and what evaluation adds. None takes the model that comes
            with the package, and says so in the log.
        device: where the network runs; None takes CUDA if there is one. Floats are 32 bits on every device;
            TF32 is off while the network works.
        batch_size: images per pass of the network; None takes 4 on a CPU, where more are slower and need more memory,
            and 16 on a GPU.
        workers: threads that decode and prepare images while the network works, None takes 2; with 0 the calling thread
            does both in turn.
        engine: what runs the network, one of `fetal_monai.inference.engines.choose.ENGINES`. `auto`, on a CPU, is the
            fastest that is installed and computes what PyTorch does in float32; see docs/engines.md.
        throughput: many images a second rather than each of them soon, for who brings many: OpenVINO then has
            lanes, one for each of PyTorch's threads and four at most, each with a batch of its own. The other engines
            know no difference.
        one_of_several: whether this process shares the machine with others like it. With one processor for each, by
            PyTorch's number of threads, None takes 0 workers: threads beside the network would cost a tenth of the
            time, in switching and in waiting for the interpreter.

    Attributes:
        class_names: the C classes, in the order of the probabilities.
        identity: which model, preprocessing and engine this is.
        facts: what the model folder tells about the model.
        decisions: calibration and thresholds.
        network: in evaluation mode on `device`; what the engine was made of, and what explanations look into.
        engine: what runs it.
        preprocessing: the transforms from a decoded frame to the views of the network.
        device: where the network runs.
        workers: threads that decode and prepare images.

    Raises:
        InputError: if the folder is incomplete, or a file in it is damaged or belongs to another model; or if none is
            named and this installation has none.
        FetalMonaiError: if the model needs classes that this version does not have, or the device or the engine cannot
            be used.

    Example:
        >>> predictor = Predictor("bundle/models")  # doctest: +SKIP
        >>> for found in predictor.predict(["still.dcm", FrameRef("clip.dcm", 7), "picture.png"]):  # doctest: +SKIP
        ...     print(found.source, getattr(found, "label", "not read"))
    """

    def __init__(
        self,
        model_dir: str | PathLike[str] | None = None,
        device: str | torch.device | None = None,
        batch_size: int | None = None,
        *,
        workers: int | None = None,
        engine: str = "auto",
        throughput: bool = False,
        one_of_several: bool = False,
    ) -> None:
        if (batch_size is not None and batch_size < 1) or (workers or 0) < 0:
            raise ValueError(f"batch_size must be 1 or more and workers 0 or more, got {batch_size} and {workers}")
        if model_dir is None:
            model_dir = released_model()
            logger.warning(released_notice())
        network, self.preprocessing, self.facts = load_model(model_dir)
        self.device, self.network = _on_device(network, "cpu" if device is None and engine not in _TORCH else device)
        self.batch_size = batch_size or (4 if self.device.type == "cpu" else 16)
        self.class_names = tuple(self.facts.class_names)
        identity = model_identity(self.facts, Path(model_dir, WEIGHTS_FILE))
        self.decisions = read_decisions(model_dir, self.class_names, identity.weights_sha256)
        model = EngineModel(Path(model_dir), self.network, self.preprocessing, identity, self.class_names, throughput)
        self.engine = choose_engine(engine, model, self.device, features=self.decisions.ood is not None)
        self.identity = replace(identity, engine=self.engine.name)
        one_processor = one_of_several and self.device.type == "cpu" and torch.get_num_threads() == 1
        self.workers = workers if workers is not None else 0 if one_processor else 2
        self._turn = threading.Lock()

    def predict(
        self, inputs: Input | Iterable[Input], *, measure: Measure | None = None
    ) -> Iterator[Prediction | ReadFailure]:
        """Classify images as they come, in their order.

        Args:
            inputs: one or an iterable of: a `FrameRef`; the path of a DICOM file (all its frames) or of a PNG or JPEG
                picture; a uint8 RGB array or tensor, (3, H, W) or (H, W, 3); a decoded `Frame`. It is consumed as
                needed, a few batches ahead at most (with more lanes than one, four batches more than lanes).
            measure: called with each decoded frame in the thread that decodes; what it returns becomes
                `Prediction.measured`.

        Yields:
            A prediction for each image, or a failure with its reason in its place.

        Raises:
            TypeError: for an input of any other type.
        """
        batches = self._batches(inputs, measure)
        lanes = self.engine.lanes
        if lanes == 1:
            for items in batches:
                yield from self._classified(items)
            return
        tasks = ((None, partial(self._classified, items)) for items in batches)
        with (
            ThreadPoolExecutor(lanes, thread_name_prefix="classify") as pool,
            closing(work_ahead(pool, tasks, lanes + 1)) as done,
        ):
            for _, found in done:
                yield from found

    def look_inside(
        self, inputs: Input | Iterable[Input], function: Look
    ) -> Iterator[NDArray[np.float64] | ReadFailure]:
        """Give what a function of the network says of images, such as their features, in their order.

        Args:
            inputs: as for `predict`.
            function: as `fetal_monai.inference.look_inside` takes it. No other thread is at the network meanwhile.

        Yields:
            (...) float64 for each image, or a failure with its reason in its place.

        Example:
            >>> features = lambda network, views: network.forward_features(*views)
            >>> (found,) = Predictor("bundle/models").look_inside("still.dcm", features)  # doctest: +SKIP
        """
        for items in self._batches(inputs, None):
            views = [item[1] for item in items if not isinstance(item, ReadFailure)]
            with self._turn:
                said = iter(look_inside(self.network, self.device, views, function) if views else ())
            for item in items:
                if isinstance(item, ReadFailure):
                    yield item
                else:
                    found: NDArray[np.float64] = next(said)
                    yield found if np.isfinite(found).all() else _not_a_number(item[0].source)

    def _batches(
        self, inputs: Input | Iterable[Input], measure: Measure | None
    ) -> Iterator[list[tuple[Frame, Views] | ReadFailure]]:
        """Gather as many images as one pass of the network takes, with the failures among them."""
        waiting: list[tuple[Frame, Views] | ReadFailure] = []
        count = 0
        for item in self._prepared(inputs, measure):
            waiting.append(item)
            count += not isinstance(item, ReadFailure)
            if count == self.batch_size or not count:
                yield waiting
                waiting, count = [], 0
        yield waiting

    def _prepared(
        self, inputs: Input | Iterable[Input], measure: Measure | None
    ) -> Iterator[tuple[Frame, Views] | ReadFailure]:
        """Decode and prepare ahead of the network, in order."""
        pool = thread_pool(self.workers, "decode")
        ahead: deque[Future[list[tuple[Frame, Views] | ReadFailure]]] = deque()
        frames_ahead = 0
        length = max(1, self.batch_size // max(1, self.workers))
        try:
            for run in plan_runs(inputs, length):
                ahead.append(pool.submit(self._prepare, run, measure))
                frames_ahead += len(run.frames)
                while ahead and frames_ahead >= 2 * self.batch_size:
                    done = ahead.popleft().result()
                    frames_ahead -= len(done)
                    yield from done
            while ahead:
                yield from ahead.popleft().result()
        finally:  # also when the caller stops early
            pool.shutdown(cancel_futures=True)

    def _prepare(self, run: Run, measure: Measure | None) -> list[tuple[Frame, Views] | ReadFailure]:
        return [item if isinstance(item, ReadFailure) else self._views(item, measure) for item in decode_run(run)]

    def _views(self, frame: Frame, measure: Measure | None) -> tuple[Frame, Views] | ReadFailure:
        """Bring one frame to the network's views, as `LoadImaged` and the model's transforms do in training."""
        try:
            meta = metadata_for(self.preprocessing, frame.meta)
            views = prepare(self.preprocessing, loaded_image(torch.from_numpy(frame.pixels), meta))
        except Exception as error:  # noqa: BLE001  # one strange image must not stop the others
            reason = find_user_error(error) or f"the preprocessing fails ({_first_line(error)}); look at the image"
            return ReadFailure(frame.source, f"{frame.source}: {reason}")
        measured = None if measure is None else measure(frame)
        return replace(frame, pixels=_SEEN, meta={}, measured=measured), views

    def _classified(self, items: list[tuple[Frame, Views] | ReadFailure]) -> list[Prediction | ReadFailure]:
        ready = [item for item in items if not isinstance(item, ReadFailure)]
        predictions = self._infer([frame for frame, _ in ready], [views for _, views in ready]) if ready else iter(())
        return [item if isinstance(item, ReadFailure) else next(predictions) for item in items]

    def _infer(self, frames: list[Frame], views: list[Views]) -> Iterator[Prediction | ReadFailure]:
        batch = stack_views(views, self.device)
        with self._turn if self.engine.lanes == 1 else nullcontext():  # several lanes need no turns
            found, features = self.engine.forward(batch)
        logits, ood = found.double().cpu(), self.decisions.ood
        calibration = self.decisions.calibration
        probabilities = (logits.softmax(dim=1) if calibration is None else calibration.probabilities(logits)).numpy()
        distances = None if ood is None or features is None else ood.score(features.double().cpu().numpy())
        for row, frame in enumerate(frames):
            if not np.isfinite(probabilities[row]).all():
                yield _not_a_number(frame.source)
                continue
            yield self._prediction(frame, probabilities[row], None if distances is None else float(distances[row]))

    def _prediction(self, frame: Frame, probabilities: NDArray[np.float64], ood_score: float | None) -> Prediction:
        decisions = self.decisions
        members: tuple[str, ...] | None = None
        if decisions.conformal is not None:
            (inside,) = decisions.conformal.members(probabilities[None])
            members = tuple(self.class_names[k] for k in np.argsort(-probabilities, kind="stable") if inside[k])
        limit = decisions.ood_threshold
        sure = probabilities.max() >= decisions.least_confidence
        return Prediction(
            source=frame.source,
            sop_instance_uid=frame.uid,
            frame=frame.index,
            probabilities=probabilities,
            class_names=self.class_names,
            label=self.class_names[int(probabilities.argmax())] if sure else None,
            conformal_set=members,
            ood_score=ood_score,
            out_of_distribution=None if ood_score is None or limit is None else ood_score > limit,
            identity=self.identity,
            measured=frame.measured,
        )


def _not_a_number(source: str) -> ReadFailure:
    return ReadFailure(source, f"{source}: the network gives NaN; the weights may be damaged")


def _on_device(network: torch.nn.Module, device: str | torch.device | None) -> tuple[torch.device, torch.nn.Module]:
    try:
        found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        # Interleaved channels: the same numbers but for rounding, and half the time for EfficientNets on a CPU.
        return found, network.to(found).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    except (RuntimeError, AssertionError) as error:  # torch raises either for a device that is not there
        raise FetalMonaiError(f"the device {device} cannot be used ({_first_line(error)}); use cpu") from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}"
