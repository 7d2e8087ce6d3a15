"""Structured reports of a study of the phantom, and what reads them."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from fetal_monai.dicom import index_dicom
from fetal_monai.results.structured_report import build_reports, write_report
from fetal_monai.study.checklist import check
from fetal_monai.study.clip import Clip, Segment
from fetal_monai.study.grouping import StudyFiles
from fetal_monai.study.key_frames import Merit
from fetal_monai.study.protocol import load_protocol
from fetal_monai.study.study import Study
from made_predictions import IDENTITY, predicted
from orthanc import configure
from report_content import frames_of


@pytest.fixture(scope="module")
def study(phantom):
    """One study of the phantom with stills and a clip: its index entries."""
    entries = list(index_dicom(phantom).values())
    with_clip = next(entry.study for entry in entries if entry.frames > 1)
    return [entry for entry in entries if entry.study == with_clip]


@pytest.fixture(scope="module")
def found(study, class_names):
    """Every image of the study, with all that a prediction can hold."""
    images = [(entry, k) for entry in study for k in (range(entry.frames) if entry.frames > 1 else [-1])]
    many = [predicted(entry, class_names, k, top=n % 16) for n, (entry, k) in enumerate(images)]
    many[0] = replace(many[0], label=None, conformal_set=(class_names[0], class_names[3]))
    many[1] = replace(many[1], conformal_set=(class_names[1],), ood_score=2.5, out_of_distribution=True)
    many[2] = replace(many[2], ood_score=0.5, out_of_distribution=False)
    return many


@pytest.fixture(scope="module")
def written(found, tmp_path_factory):
    """The report, read back by pydicom alone."""
    path = tmp_path_factory.mktemp("report") / "report.dcm"
    (report,) = build_reports(found)
    write_report(report, path)
    return path, pydicom.dcmread(path)


@pytest.fixture(scope="module")
def analysed(study, class_names):
    """That study as an analysis might leave it, and a checklist with every status."""
    place = {name: number for number, name in enumerate(class_names)}
    stills = [entry for entry in study if entry.frames == 1]
    timed, untimed = (entry for entry in study if entry.frames > 1)

    def image(entry, plane, frame=-1, **changes):
        return predicted(entry, class_names, frame, place[plane], measured=1.5, **changes)

    def segment(entry, plane, first, last, key, confidence, times=None, **changes):
        return Segment(
            plane=plane,
            first=first,
            last=last,
            start=None if times is None else float(times[first]),
            end=None if times is None else float(times[last] + 1 / 30),
            confidence=confidence,
            key_frame=image(entry, plane, key, **changes),
            merit=Merit(0.75, 0.875, 0.5),
            sharpness=2.5,
        )

    def clip(entry, times, *segments):
        other = image(entry, "Other", 0)
        seen = {0: other, **{part.key_frame.frame: part.key_frame for part in segments}}
        return Clip(entry.path, entry.sop_instance_uid, entry.frames, times, seen, segments)

    times = np.arange(timed.frames) / 30
    kidneys = {"label": None, "conformal_set": ("Kidneys", "Stomach"), "ood_score": 0.5, "out_of_distribution": False}
    done = Study(
        files=StudyFiles(
            "made",
            study[0].study,
            tuple(entry.path for entry in stills),
            {entry.path: entry.frames for entry in (timed, untimed)},
        ),
        class_names=tuple(class_names),
        identity=IDENTITY,
        stills=(
            image(stills[0], "Spine", conformal_set=("Spine",), ood_score=0.25, out_of_distribution=False),
            image(stills[1], "Stomach", label=None, conformal_set=("Stomach", "Kidneys")),
            image(stills[2], "Femur", ood_score=9.5, out_of_distribution=True),
        ),
        clips=(
            clip(
                timed,
                times,
                segment(timed, "Femur", 1, 5, 3, 2 / 3, times, conformal_set=("Femur", "Other")),
                segment(timed, "Kidneys", 7, 7, 7, 0.75, times, **kidneys),
                segment(timed, "Spine", 8, 11, 10, 0.9, times),
            ),
            clip(untimed, None, segment(untimed, "Four-chamber heart section", 2, 7, 4, 0.8)),
        ),
    )
    return done, check(done, load_protocol("isuog_mid_trimester"))


class Orthanc:
    """A real archive on loopback."""

    def __init__(self, folder):
        config, self.url = configure(folder, Plugins=[])
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(["Orthanc", str(config)], stdout=log, stderr=log)

    def ask(self, path, data=None):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.url + path, data=data), timeout=20) as answer:
            return json.load(answer)

    def wait(self):
        for _ in range(300):
            try:
                return self.ask("/system")
            except OSError:
                assert self.process.poll() is None, "Orthanc ended"
                time.sleep(0.1)
        raise AssertionError("Orthanc does not answer")

    def store(self, *paths):
        for name in paths:
            with open(name, "rb") as file:  # noqa: PTH123
                assert self.ask("/instances", file.read())["Status"] == "Success"

    def modalities(self):
        """Of the series of the one study that is stored."""
        (archived,) = self.ask("/studies")
        series = self.ask(f"/studies/{archived}")["Series"]
        return {self.ask(f"/series/{one}")["MainDicomTags"]["Modality"] for one in series}

    def resolve(self, reference):
        """See that a reference leads to an instance, and to frames that it has."""
        (hit,) = self.ask("/tools/lookup", reference.ReferencedSOPInstanceUID.encode())
        tags = self.ask(f"/instances/{hit['ID']}/simplified-tags")
        assert tags["SOPClassUID"] == reference.ReferencedSOPClassUID
        there = set(map(int, self.ask(f"/instances/{hit['ID']}/frames")))
        named = frames_of(reference)
        assert there >= set(named or [0])
        assert named is not None or len(there) == 1, "a clip is referred to by frames"


@pytest.fixture
def orthanc(tmp_path):
    if shutil.which("Orthanc") is None:
        pytest.skip("needs Orthanc: install the package orthanc")
    server = Orthanc(tmp_path)
    try:
        server.wait()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(timeout=30)
