"""Structured reports of a study of the phantom."""

from __future__ import annotations

from dataclasses import replace

import pydicom
import pytest

from fetal_monai.dicom import index_dicom
from fetal_monai.results.structured_report import build_reports, write_report
from made_predictions import predicted


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
