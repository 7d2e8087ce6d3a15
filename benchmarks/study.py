"""Are the right planes found in a study, and the right frames in its clips? On studies made of real stills.

    python benchmarks/study.py DATA OUT --models MODEL                  # trained without DATA's test patients
    python benchmarks/study.py DATA OUT --models FOLD0 FOLD1 --annotations FOLD0.csv FOLD1.csv    # each with its own
    python benchmarks/study.py DATA OUT --models MODEL --every-frame    # what the frames that are not looked at cost

Each test patient becomes a study: half of the stills as they are, and clips in which the others come and go (see
`made_studies`). What the model finds is held against what was put in; intervals are 95 %, from resampling patients.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from made_studies import Shown, picture, sweep, write_clip
from pydicom.uid import generate_uid
from tqdm import tqdm

from fetal_monai.inference import Predictor
from fetal_monai.study.checklist import Status, check
from fetal_monai.study.grouping import StudyFiles
from fetal_monai.study.protocol import Protocol, ProtocolItem
from fetal_monai.study.study import Study, analyse_studies

CLIP_FRAMES = 300
OTHER = "Other"
REPLICATES = 2000


@dataclass(frozen=True)
class Made:
    """A study and the truth about it: the planes in it, and what its clip shows when."""

    patient: str
    files: StudyFiles
    planes: list[str]
    shown: list[Shown]


@dataclass
class Counts:
    """Of one patient."""

    patient: str
    there_and_found: int = 0
    there: int = 0
    found: int = 0
    stretches: int = 0
    stretches_found: int = 0
    key_frames: int = 0
    key_frames_in_plane: int = 0
    key_frames_in_head: int = 0
    certain: int = 0
    certain_in_plane: int = 0
    clips: int = 0
    clips_right: int = 0
    clips_certain: int = 0
    clips_certain_right: int = 0
    frames: int = 0
    looked_at: int = 0


def make_study(patient: str, rows: pd.DataFrame, data: Path, out: Path, seed: int) -> Made:
    """Half of a patient's stills, and a clip of the others."""
    rng = np.random.default_rng([seed, *patient.encode()])
    paths = [data / "dicom" / f"{uid}.dcm" for uid in rows["SOPInstanceUID"]]
    planes = rows["class"].tolist()
    order = rng.permutation(len(paths)).tolist()
    in_clip, alone = order[: (len(order) + 1) // 2], order[(len(order) + 1) // 2 :]
    frames, shown = sweep([(planes[k], picture(paths[k])) for k in in_clip], CLIP_FRAMES, rng)
    clip = out / patient / "clip.dcm"
    write_clip(frames, paths[0], clip, series=generate_uid(prefix=None))
    files = StudyFiles(patient, "1.2", tuple(str(paths[k]) for k in alone), {str(clip): CLIP_FRAMES})
    seen = {planes[k] for k in alone} | {one.plane for one in shown}
    return Made(patient, files, sorted(seen - {OTHER}), shown)


def judge(made: Made, study: Study) -> Counts:
    """Hold what was found against what was put in."""
    names = [name for name in study.class_names if name != OTHER]
    protocol = Protocol("all classes", "", "", tuple(ProtocolItem(name, name, (name,)) for name in names))
    found = {f.item.id for f in check(study, protocol).findings if f.status is Status.FOUND}
    counts = Counts(made.patient, len(found & set(made.planes)), len(made.planes), len(found))
    for clip in study.clips:
        segments = [segment for segment in clip.segments if segment.plane != OTHER]
        shown = [one for one in made.shown if one.plane != OTHER]
        right = [
            any(s.first <= segment.key_frame.frame <= s.last and s.plane == segment.plane for s in shown)
            for segment in segments
        ]
        heads = [
            any(s.first <= k.key_frame.frame <= s.last and s.plane[:4] == k.plane[:4] for s in shown) for k in segments
        ]
        certain = [is_right for is_right, segment in zip(right, segments, strict=True) if segment.certain]
        counts.stretches += len(shown)
        counts.stretches_found += sum(
            any(s.first <= k.key_frame.frame <= s.last and k.plane == s.plane for k in segments) for s in shown
        )
        counts.key_frames += len(segments)
        counts.key_frames_in_plane += sum(right)
        counts.key_frames_in_head += sum(heads)
        counts.certain += len(certain)
        counts.certain_in_plane += sum(certain)
        counts.clips += bool(shown)
        counts.clips_right += bool(shown) and all(right) and bool(right)
        counts.clips_certain += bool(certain)
        counts.clips_certain_right += bool(certain) and all(certain)
        counts.frames += clip.frames
        counts.looked_at += len(clip.predictions)
    return counts


RATIOS: dict[str, tuple[str, str]] = {
    "planes in the study that are found (recall)": ("there_and_found", "there"),
    "planes found that are in the study (precision)": ("there_and_found", "found"),
    "stretches of clips with a key frame of their plane in them": ("stretches_found", "stretches"),
    "key frames within a stretch of their plane": ("key_frames_in_plane", "key_frames"),
    "the same, the three head planes as one": ("key_frames_in_head", "key_frames"),
    "clips of which every key frame is within a stretch of its plane": ("clips_right", "clips"),
    "key frames that the model is certain of": ("certain", "key_frames"),
    "of these, within a stretch of their plane": ("certain_in_plane", "certain"),
    "clips of which every certain key frame is within a stretch of its plane": ("clips_certain_right", "clips_certain"),
    "frames that the network looked at": ("looked_at", "frames"),
}


def print_table(rows: Sequence[Counts]) -> None:
    """Print Markdown: each ratio with its interval."""
    table = pd.DataFrame([asdict(row) for row in rows]).drop(columns="patient")
    draws = np.random.default_rng(0).integers(0, len(table), (REPLICATES, len(table)))
    print("| | | |\n|---|---|---|")
    for name, (part, whole) in RATIOS.items():
        top, bottom = table[part].to_numpy(), table[whole].to_numpy()
        low, high = np.quantile(top[draws].sum(1) / np.maximum(bottom[draws].sum(1), 1), [0.025, 0.975])
        value = f"{top.sum() / bottom.sum():.3f} ({low:.3f} to {high:.3f})"
        print(f"| {name} | {value} | {top.sum()} of {bottom.sum()} |")


def main() -> None:
    """Make studies, analyse them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with DICOM and annotations.csv.")
    parser.add_argument("out", type=Path, help="Folder for the clips and the counts.")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="Model folders, each with its own tests.")
    parser.add_argument(
        "--annotations", type=Path, nargs="+", help="For each model, the table whose test patients it has not seen."
    )
    parser.add_argument("--every-frame", action="store_true", help="Classify every frame of the clips.")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tables = arguments.annotations or [arguments.data / "annotations.csv"]
    if len(tables) != len(arguments.models):
        parser.error(f"{len(arguments.models)} models and {len(tables)} tables: give each model its own table")
    counts = []
    for model, path in zip(arguments.models, tables, strict=True):
        predictor = Predictor(model)
        table = pd.read_csv(path, dtype=str)
        for patient, rows in tqdm(table[table["split"] == "test"].groupby("patient_id"), desc=path.stem):
            made = make_study(str(patient), rows, arguments.data, arguments.out, arguments.seed)
            (study,) = analyse_studies([made.files], predictor, every_frame=arguments.every_frame)
            counts.append(judge(made, study))
    name = "every_frame" if arguments.every_frame else "few_frames"
    (arguments.out / f"{name}.json").write_text(json.dumps([asdict(row) for row in counts], indent=1))
    print_table(counts)


if __name__ == "__main__":
    main()
