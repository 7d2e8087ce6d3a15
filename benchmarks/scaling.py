"""Do many files cost no more memory than few, and are two workers faster than one?

    python benchmarks/scaling.py                     # 100,000 frames of a tiny network, on an idle machine
    python benchmarks/scaling.py --frames 2000       # a look whether it runs

A folder of links to a few phantom stills is classified by `predict --ray`, by one worker and by two, each in a process
of its own. The memory of all its processes (proportional set size, so that what they share counts once) is measured
every second; it is flat if its peak in the last third is little above that in the first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

PER_FOLDER = 10_000


def make_model(folder: Path) -> Path:
    """A tiny network that has learnt nothing, with small views."""
    import torch  # noqa: PLC0415
    import yaml  # noqa: PLC0415
    from monai.transforms import Compose  # noqa: PLC0415

    from fetal_monai.model.description import describe_model  # noqa: PLC0415
    from fetal_monai.model.facts import write_facts  # noqa: PLC0415
    from fetal_monai.networks import DualBranchClassifier, EfficientNetBackbone, ResNetBackbone  # noqa: PLC0415
    from fetal_monai.transforms import DualResolutiond, ResizeFramed  # noqa: PLC0415

    config = Path(__file__).resolve().parents[1] / "bundle/configs/train.yaml"
    names = yaml.safe_load(config.read_text())["class_names"]
    torch.manual_seed(0)
    backbones = ResNetBackbone(18), EfficientNetBackbone("lite0")
    network = DualBranchClassifier(len(names), *backbones, shallow_size=[32, 32])
    preprocessing = Compose(
        [
            ResizeFramed("image", size=[60, 80], only_shrink=True),
            DualResolutiond("image", detailed_size=[48, 64], shallow_size=[32, 32]),
        ]
    )
    folder.mkdir()
    torch.save(network.state_dict(), folder / "model.pt")
    write_facts(folder, describe_model(network, preprocessing, names))
    return folder


def make_archive(folder: Path, frames: int) -> Path:
    """Links to a few stills, ten thousand in a folder."""
    from fetal_monai.data.phantom import PhantomSpec, generate_phantom  # noqa: PLC0415

    spec = PhantomSpec(patients=6, images_per_patient=4, seed=0, size=(240, 320), clip_share=0.0)
    generate_phantom(folder / "phantom", spec, workers=1)
    stills = sorted((folder / "phantom/dicom").glob("*.dcm"))
    for number in range(frames):
        place = folder / "archive" / str(number // PER_FOLDER)
        place.mkdir(parents=True, exist_ok=True)
        os.link(stills[number % len(stills)], place / f"{number}.dcm")
    return folder / "archive"


def memory_of(session: int) -> int:
    """Bytes of all processes of a session, what they share counted once."""
    total = 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if os.getsid(int(process.name)) == session:
                    lines = (process / "smaps_rollup").read_text().splitlines()
                    total += 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            except (OSError, StopIteration):
                continue
    return total


def measure(folder: Path, archive: Path, model: Path, workers: int) -> dict[str, Any]:
    """One run, in processes of its own."""
    command = [sys.executable, __file__, "--run", str(archive), str(model), str(folder / f"out{workers}"), str(workers)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, text=True)
    seen: list[tuple[float, int]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1.0):
            seen.append((time.time(), memory_of(child.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    text, _ = child.communicate()
    done.set()
    watcher.join()
    answer: dict[str, Any] = json.loads(text.splitlines()[-1])
    begun, ended = answer.pop("begun"), answer.pop("ended")
    third = (ended - begun) / 3
    first = max((size for at, size in seen if begun <= at <= begun + third), default=0)
    last = max((size for at, size in seen if ended - third <= at <= ended), default=0)
    return {"workers": workers, **answer, "first_third_mib": first >> 20, "last_third_mib": last >> 20}


def run(archive: str, model: str, out: str, workers: str) -> None:
    """What the measured process does."""
    import ray  # noqa: PLC0415

    from fetal_monai.shards.predict import predict_to_shards  # noqa: PLC0415

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=int(workers), include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    times: list[float] = []
    summary = predict_to_shards([archive], model, out, device="cpu", progress=lambda *_: times.append(time.time()))
    ray.shutdown()
    rate = summary.counts.images / summary.seconds
    facts = {"images": summary.counts.images, "seconds": summary.seconds, "images_per_s": rate}
    print(json.dumps({**facts, "begun": times[0], "ended": times[-1]}))


def main() -> None:
    """Measure one worker and two, and print a line of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run(*arguments.run)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive, model = make_archive(folder, arguments.frames), make_model(folder / "model")
        results = [measure(folder, archive, model, workers) for workers in (1, 2)]
    for result in results:
        print(json.dumps({key: round(value, 1) for key, value in result.items()}))
    print(f"two workers: {results[1]['images_per_s'] / results[0]['images_per_s']:.2f} times as fast as one")


if __name__ == "__main__":
    main()
