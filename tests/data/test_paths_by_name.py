"""Which files a name in a table may mean, held to comparing part by part."""

from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from fetal_monai.data.image_names import image_name
from fetal_monai.data.paths_by_name import PathsByName

FOLDER = "/a/b"
PARTS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4)
NAMES = st.builds("{}{}".format, PARTS.map("/".join), st.sampled_from(["", ".dcm"]))
FILES = st.sets(NAMES, max_size=12).map(lambda names: [f"{FOLDER}/{name}" for name in sorted(names)])


def parts(path: str) -> tuple[str, ...]:
    path = PurePosixPath(path)
    return (path.with_suffix("") if path.suffix == ".dcm" else path).parts


def meant(files: list[str], name: str) -> list[str]:
    below = [file for file in files if parts(file) == parts(f"{FOLDER}/{name}")]
    if "/" in name and below:
        return [file for file in below if file == f"{FOLDER}/{PurePosixPath(name)}"] or below
    wanted = [part for part in parts(name) if part != "/"]
    return [file for file in files if list(parts(file)[-len(wanted) :]) == wanted]


@given(FILES, NAMES, st.sampled_from(["", "./", "b/", "a/b/", "/a/b/", "/"]))
def test_a_name_means_the_file_at_its_path_or_all_whose_paths_end_so(files, name, before):
    found = PathsByName(FOLDER, files).find(before + name, most=12)
    assert sorted(found) == meant(files, before + name)


@given(FILES)
def test_every_file_is_found_by_its_path_below_the_folder(files):
    paths = PathsByName(FOLDER, files)
    for file in files:
        assert paths.find(f"./{file.removeprefix(f'{FOLDER}/')}") == [file]


@given(NAMES, NAMES)
def test_two_names_of_an_image_are_those_of_one_path(one, other):
    assert (image_name(one) == image_name(other)) == (parts(one) == parts(other))
    assert image_name(image_name(one)) == image_name(f"./{one}") == image_name(one)


def test_no_more_paths_are_gathered_than_show_that_there_are_several():
    files = [f"{FOLDER}/{number}/IM_0000.dcm" for number in range(100)]
    assert len(PathsByName(FOLDER, files).find("IM_0000")) == 4
    assert PathsByName(FOLDER, files).find("") == []
