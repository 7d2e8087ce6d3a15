"""What do the frames that are not looked at save? The default network on one clip, every frame against the few.

    python benchmarks/study_speed.py DATA            # 600 frames of 852 x 1136, JPEG; on an idle machine

Without weights that are free to download the default network knows no plane. So its backbones stay random, BatchNorm
learns its statistics from the clip, and the head is fitted to the clip's own pictures: the network then recognises the
planes of this one clip, at the price of any trained one. Both ways run in this process, one after the other, on the
same frames; peak memory is measured in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from made_studies import picture, sweep, write_clip
from monai.bundle import ConfigParser
from monai.transforms import Compose
from peak_memory import peak_mib
from sklearn.linear_model import LogisticRegression

from fetal_monai.dicom import read_frame
from fetal_monai.inference import Predictor
from fetal_monai.inference.views import prepare
from fetal_monai.model.description import describe_model
from fetal_monai.model.facts import write_facts
from fetal_monai.study.clip import Clip, analyse_clip
from fetal_monai.transforms import DualResolutiond, MaskBannerd, ResizeFramed

CONFIGS = Path(__file__).resolve().parents[1] / "bundle" / "configs"
SIZE = (852, 1136)
PER_PLANE = 8


def make_clip(data: Path, frames: int, out: Path) -> list[tuple[int, str]]:
    """A clip of four test stills; frames with their class to learn from, `Other` where no plane is shown."""
    annotations = pd.read_csv(data / "annotations.csv", dtype=str)
    rows = annotations[annotations["split"] == "test"].groupby("class").head(1)
    rows = rows[~rows["class"].isin(["Other", "Cervix"])].head(4)
    paths = [data / "dicom" / f"{uid}.dcm" for uid in rows["SOPInstanceUID"]]
    stills = [(plane, picture(path, SIZE)) for plane, path in zip(rows["class"], paths, strict=True)]
    pictures, shown = sweep(stills, frames, np.random.default_rng(0))
    write_clip(pictures, paths[0], out, series="1.2.3")
    held = [(int(k), one.plane) for one in shown for k in np.linspace(one.first, one.last, PER_PLANE)]
    inside = {k for one in shown for k in range(one.first, one.last + 1)}
    between = [k for k in range(frames) if k not in inside]
    return held + [(k, "Other") for k in between[:: max(1, len(between) // (2 * PER_PLANE))]]


@torch.inference_mode()
def make_model(clip: Path, known: list[tuple[int, str]], folder: Path) -> Path:
    """The default network with a head that knows this clip."""
    parser = ConfigParser()
    parser.read_config([CONFIGS / "train.yaml"])
    names = sorted({plane for _, plane in known})
    parser["num_classes"] = len(names)
    torch.manual_seed(0)
    network: Any = parser.get_parsed_content("network_def")
    preprocessing = Compose(
        [
            ResizeFramed("image", size=parser["base_size"], only_shrink=True),
            MaskBannerd("image", fraction=0.0798),
            DualResolutiond("image", detailed_size=parser["detailed_size"], shallow_size=parser["shallow_size"]),
        ]
    )
    views = [prepare(preprocessing, torch.from_numpy(read_frame(clip, frame).copy())) for frame, _ in known]
    spread = views[:: max(1, len(views) // 6)]
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(*(torch.stack([view[name] for view in spread]) for name in ("image", "image_shallow")))
    network.eval()
    features = torch.cat([network.forward_features(v["image"][None], v["image_shallow"][None]) for v in views]).numpy()
    centre, scale = features.mean(0), features.std(0) + 1e-6
    fitted = LogisticRegression(C=0.1, max_iter=2000).fit((features - centre) / scale, [plane for _, plane in known])
    weight = fitted.coef_ / scale
    network.head.weight.data = torch.from_numpy(weight).float()
    network.head.bias.data = torch.from_numpy(fitted.intercept_ - weight @ centre).float()
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / "model.pt")
    write_facts(folder, describe_model(network, preprocessing, names))
    return folder


def timed(clip: Path, model: Path, *, every_frame: bool) -> tuple[Clip, float]:
    """Analyse the clip; what was found, and the seconds it took."""
    predictor = Predictor(model, engine="torch")  # what this network computes is too wild for others to agree to 1e-4
    start = time.perf_counter()
    found = analyse_clip(str(clip), predictor, every_frame=every_frame)
    assert isinstance(found, Clip), found
    return found, time.perf_counter() - start


def peak_of(clip: Path, model: Path) -> float:
    """Peak memory of a process that analyses the clip."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", str(clip), str(model)],
        check=True, capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="Folder with DICOM and annotations.csv.")
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--peak", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        timed(*arguments.peak, every_frame=False)
        print(json.dumps(peak_mib()))
        return
    with tempfile.TemporaryDirectory() as folder:
        long, short = Path(folder, "long.dcm"), Path(folder, "short.dcm")
        known = make_clip(arguments.data, arguments.frames, long)
        make_clip(arguments.data, arguments.frames // 10, short)
        model = make_model(long, known, Path(folder, "model"))
        (few, few_s), (every, every_s) = (timed(long, model, every_frame=every) for every in (False, True))
        print("| | frames seen | seconds | frames/s | segments | key frames |\n|---|---|---|---|---|---|")
        for name, found, seconds in (("few", few, few_s), ("every frame", every, every_s)):
            keys = " ".join(str(segment.key_frame.frame) for segment in found.segments)
            rate = found.frames / seconds
            seen = len(found.predictions)
            print(f"| {name} | {seen} | {seconds:.0f} | {rate:.2f} | {len(found.segments)} | {keys} |")
        print(f"\n{every_s / few_s:.2f} times as many frames per second")
        agree = facts(few) == facts(every)
        print(f"the same segments and key frames: {'yes' if agree else 'NO'}")
        for path, count in ((long, arguments.frames), (short, arguments.frames // 10)):
            print(f"peak memory, {count} frames: {peak_of(path, model):.0f} MiB")


def facts(clip: Clip) -> list[tuple[str, int, int, int]]:
    """What was found: plane, first and last frame, key frame."""
    return [(found.plane, found.first, found.last, found.key_frame.frame) for found in clip.segments]


if __name__ == "__main__":
    main()
