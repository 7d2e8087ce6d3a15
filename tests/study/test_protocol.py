"""Protocols: those that come along are right, and a wrong one is told all its faults at once."""

from __future__ import annotations

import pytest
import yaml

from fetal_monai.data.plane_codes import plane_codes
from fetal_monai.errors import InputError
from fetal_monai.study.protocol import load_protocol, protocol_names

GOOD = {
    "title": "Ours",
    "source": "a paper",
    "review": "nobody",
    "items": [{"id": "femur", "title": "Femur", "planes": ["Femur"]}, {"id": "eyes", "title": "Eyes", "planes": []}],
}


def written(tmp_path, **changes):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


@pytest.mark.parametrize("name", protocol_names())
def test_protocols_that_come_along(name):
    protocol = load_protocol(name)
    assert "doi:" in protocol.source
    assert "needs clinical review" in protocol.review
    known = set(plane_codes()["planes"])
    assert {plane for item in protocol.items for plane in item.planes} <= known
    assert len({item.id for item in protocol.items}) == len(protocol.items) >= 15


def test_each_plane_of_the_released_classes_stands_somewhere(root):
    classes = yaml.safe_load((root / "bundle/configs/datasets/fetal_planes.yaml").read_text())["class_names"]
    for name in protocol_names():
        mentioned = {plane for item in load_protocol(name).items for plane in item.planes}
        assert {plane for plane in classes if plane not in {"Other", "Thorax"}} <= mentioned


def test_a_protocol_of_ones_own(tmp_path):
    protocol = load_protocol(written(tmp_path))
    assert [(item.id, item.planes) for item in protocol.items] == [("femur", ("Femur",)), ("eyes", ())]
    mine = [{"id": "foot", "title": "Foot", "planes": ["Left foot"]}]
    assert load_protocol(written(tmp_path, items=mine), ["Left foot"]).items[0].planes == ("Left foot",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"items": [{"id": "a", "title": "A", "planes": ["Femurr"]}]},
            "item 'a': no class is called 'Femurr'; did you",
        ),
        (
            {"items": [{"id": "a", "title": "A", "plane": ["Femur"]}]},
            "item 'a': the key 'plane' means nothing here; did",
        ),
        ({"items": [{"id": "a", "title": "A", "planes": "Femur"}]}, "item 'a': planes is no list"),
        ({"items": [{"title": "A", "planes": []}]}, "item 1: id is missing"),
        ({"items": ["Femur"]}, "item 1 is no mapping"),
        ({"items": []}, "items is no list of items"),
        ({"items": GOOD["items"] * 2}, "the id 'femur' is there twice"),
        ({"titel": "x"}, "the key 'titel' means nothing here; did you mean title?"),
    ],
)
def test_faults_are_told_with_their_place(tmp_path, changes, message):
    with pytest.raises(InputError, match=r"mine.yaml") as raised:
        load_protocol(written(tmp_path, **changes))
    assert message in str(raised.value)


def test_all_faults_at_once(tmp_path):
    items = [
        {"id": "a", "title": "A", "planes": ["Nope", "Femurr"]},
        {"id": "b"},
        {"id": "a", "title": "", "planes": []},
    ]
    with pytest.raises(InputError) as raised:
        load_protocol(written(tmp_path, items=items))
    assert len(raised.value.problems) == 5
    assert "'a' is there twice" in raised.value.problems[-1]


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("just words", "no keys"), ("\x80", None)])
def test_files_that_are_none(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        load_protocol(path)


def test_names_that_are_none():
    with pytest.raises(InputError, match="give one of aium_standard, isuog_mid_trimester"):
        load_protocol("isuog")
    with pytest.raises(InputError, match="cannot be read"):
        load_protocol("nowhere.yaml")
