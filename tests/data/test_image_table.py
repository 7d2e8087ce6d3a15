"""Images in columns come back as they went in, and columns say what the images say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.data.checks.image_table import ImageTable, Listed, SeenImage, groups
from fetal_monai.data.checks.perceptual_hash import look_at
from fetal_monai.data.file_facts import FileFacts
from fetal_monai.dicom import FrameRef

words = st.sampled_from(["", "a", "b", "é"])
listed = st.builds(
    Listed,
    st.builds(FrameRef, st.sampled_from(["1.dcm", "2.dcm"]), st.integers(-1, 3)),
    st.integers(0, 2**31 - 1),
    words,
    words,
    words,
    words,
)
sides = st.integers(1, 100_000)
facts = st.tuples(words, words, words, sides, sides)
look = look_at(np.zeros((3, 9, 9), np.uint8))
images = st.lists(st.tuples(listed, facts, st.binary(min_size=16, max_size=16), st.sampled_from([None, look])))


@given(images)
def test_images_come_back(rows):
    table = ImageTable()
    expected = []
    for each, row, digest, seen in rows:
        expected.append(SeenImage(each, FileFacts(each.image.path, *row), digest, seen))
        table.add(each, expected[-1].facts, digest, seen)
    assert list(table) == expected
    assert table[:] == expected
    assert table.rows().tolist() == [image.listed.row for image in expected]
    assert table.words("label") == [image.listed.label for image in expected]
    assert [bool(code) for code in table.codes("split")] == [bool(image.listed.split) for image in expected]
    assert table.devices() == [image.device for image in expected]
    known = [(said, image.patient) for said, image in zip(table.patients(), expected, strict=True) if image.patient]
    assert all(said == patient for said, patient in known)
    assert table.shorter_sides().tolist() == [min(image.facts.rows, image.facts.columns) for image in expected]
    assert list(table.looks) == [place for place, image in enumerate(expected) if image.look is not None]
    same = {tuple(group.tolist()) for group in groups(table.digests())}
    alike = {tuple(place for place, other in enumerate(expected) if other.digest == image.digest) for image in expected}
    assert same == {group for group in alike if len(group) > 1}


def test_a_position_that_is_not_there():
    with pytest.raises(IndexError):
        ImageTable()[0]


@given(st.lists(st.integers(0, 5)))
def test_groups_are_ascending_and_in_the_order_of_their_first(keys):
    found = [group.tolist() for group in groups(np.array(keys, dtype=np.int64))]
    assert found == sorted(found, key=lambda group: group[0])
    assert all(group == sorted(group) for group in found)
    assert {keys[group[0]]: group for group in found} == {
        key: [place for place, other in enumerate(keys) if other == key] for key in keys if keys.count(key) > 1
    }
