"""Found, uncertain, missing, not assessable: what each needs, and which image is the best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.inference import Prediction
from fetal_monai.study.checklist import ALTERNATIVES, Status, candidates, check
from fetal_monai.study.clip import Clip, Segment
from fetal_monai.study.grouping import StudyFiles
from fetal_monai.study.key_frames import Merit
from fetal_monai.study.protocol import Protocol, ProtocolItem
from fetal_monai.study.study import Study
from made_predictions import IDENTITY

CLASSES = ("Abdomen", "Femur", "Other")
PROTOCOL = Protocol(
    "P",
    "S",
    "R",
    (
        ProtocolItem("abdomen", "Abdomen", ("Abdomen", "Stomach")),
        ProtocolItem("femur", "Femur", ("Femur",)),
        ProtocolItem("spine", "Spine", ("Spine",)),
        ProtocolItem("eyes", "Eyes", ()),
    ),
)


def still(number, plane, confidence=0.95, sharpness=1.0, **changes):
    row = np.full(3, (1 - confidence) / 2)
    row[CLASSES.index(plane)] = confidence
    found = Prediction(f"{number}.dcm", f"1.{number}", -1, row, CLASSES, plane, IDENTITY, measured=sharpness)
    return replace(found, **changes)


def study(*stills, clips=()):
    return Study(StudyFiles("s", "1.2"), CLASSES, IDENTITY, tuple(stills), tuple(clips))


def statuses(found):
    return {finding.item.id: finding.status for finding in check(found, PROTOCOL).findings}


def test_found_missing_and_beyond_the_model():
    assert statuses(study(still(1, "Abdomen"))) == {
        "abdomen": Status.FOUND,
        "femur": Status.MISSING,
        "spine": Status.NOT_ASSESSABLE,
        "eyes": Status.NOT_ASSESSABLE,
    }


@pytest.mark.parametrize(
    ("image", "status"),
    [
        (still(1, "Femur", label=None), Status.UNCERTAIN),
        (still(1, "Femur", out_of_distribution=True), Status.UNCERTAIN),
        (still(1, "Other", label=None, conformal_set=("Other", "Femur")), Status.UNCERTAIN),
        (still(1, "Other", conformal_set=("Other", "Femur")), Status.MISSING),  # the model is sure that it is Other
        (still(1, "Femur", out_of_distribution=False), Status.FOUND),
    ],
)
def test_what_a_doubt_does(image, status):
    assert statuses(study(image))["femur"] == status


def test_a_certain_image_goes_before_a_sharper_one_in_doubt():
    finding = check(study(still(1, "Femur", label=None, sharpness=9.0), still(2, "Femur")), PROTOCOL).findings[1]
    assert (finding.status, finding.best.prediction.source) == (Status.FOUND, "2.dcm")
    assert [other.prediction.source for other in finding.alternatives] == ["1.dcm"]
    assert finding.best.merit.sharpness == pytest.approx(1 / 9)


def test_a_segment_is_a_candidate_by_its_key_frame():
    key = replace(still(7, "Femur"), frame=12)
    segment = Segment("Femur", 10, 20, 0.4, 0.84, 0.9, key, Merit(0.95, 1.0, 0.8), 4.0)
    clip = Clip("7.dcm", "1.7", 30, np.arange(30) * 0.04, {12: key}, (segment,))
    best, other = candidates(study(still(1, "Femur", sharpness=1.0), clips=[clip]), "Femur")
    assert (best.prediction, best.seconds, best.merit) == (key, pytest.approx(0.48), Merit(0.95, 1.0, 0.8))
    assert other.merit == Merit(pytest.approx(0.95), 0.25, 1.0)


@pytest.mark.parametrize(
    ("doubt", "certain"),
    [
        ({}, True),
        ({"out_of_distribution": False}, True),
        ({"out_of_distribution": True}, False),
        ({"label": None}, False),
        ({"label": "Abdomen"}, False),  # by itself the key frame is taken for another plane than the stretch
    ],
)
def test_a_segment_is_as_certain_as_its_key_frame(doubt, certain):
    key = replace(still(7, "Femur", **doubt), frame=12)
    segment = Segment("Femur", 10, 20, None, None, 0.9, key, Merit(0.95, 1.0, 0.8), 4.0)
    clip = Clip("7.dcm", "1.7", 30, None, {12: key}, (segment,))
    assert segment.certain is certain
    assert [one.certain for one in candidates(study(clips=[clip]), "Femur")] == [certain]
    assert statuses(study(clips=[clip]))["femur"] == (Status.FOUND if certain else Status.UNCERTAIN)


def test_an_image_that_may_show_two_planes_of_an_item_stands_where_it_is_best():
    both = Protocol("P", "S", "R", (ProtocolItem("any", "Any", ("Abdomen", "Femur")),))
    twice = still(1, "Abdomen", 0.6, label=None, conformal_set=("Abdomen", "Femur"))
    (finding,) = check(study(still(2, "Femur", 0.45, label=None), twice), both).findings
    assert finding.best.prediction.source == "1.dcm"
    assert [other.prediction.source for other in finding.alternatives] == ["2.dcm"]


@given(st.lists(st.tuples(st.sampled_from(CLASSES), st.floats(0.4, 1), st.floats(0, 5), st.booleans()), max_size=12))
def test_whatever_there_is(images):
    stills = [
        still(number, plane, confidence, sharpness, label=plane if sure else None)
        for number, (plane, confidence, sharpness, sure) in enumerate(images)
    ]
    for finding in check(study(*stills), PROTOCOL).findings:
        assert (finding.best is None) == (finding.status in {Status.MISSING, Status.NOT_ASSESSABLE})
        assert len(finding.alternatives) <= ALTERNATIVES
        ranked = [*([finding.best] if finding.best else []), *finding.alternatives]
        keys = [(not one.certain, -one.merit.score) for one in ranked]
        assert keys == sorted(keys)
        assert len({one.prediction.source for one in ranked}) == len(ranked)
    reordered = check(study(*stills[::-1]), PROTOCOL)
    assert [one.status for one in reordered.findings] == [
        one.status for one in check(study(*stills), PROTOCOL).findings
    ]
