"""Labels of an export where each study counts its images anew: they go to the file that they name, or nowhere."""

from __future__ import annotations

import pandas as pd
import pytest

from fetal_monai.deidentify import deidentify_folder

FILES = ["study0/IM_0000.dcm", "study1/IM_0000.dcm", "study1/IM_0001.dcm"]


@pytest.fixture
def export(kit, tmp_path):
    for number, name in enumerate(FILES):
        kit.save(kit.dataset(kit.screens(1), SOPInstanceUID=f"1.2.3.{number + 4}"), tmp_path / "in" / name)
    return tmp_path / "in"


def relabel(export, names):
    table = export.parent / "labels.csv"
    pd.DataFrame({"SOPInstanceUID": names, "class": [f"of {name}" for name in names]}).to_csv(table, index=False)
    outcome = deidentify_folder(export, export.parent / "out", annotations=table)
    after = pd.read_csv(export.parent / "out" / "annotations.csv", dtype=str)
    new = {one.uid: one.source for one in outcome.written}
    return [(new[uid], label) for uid, label in after.itertuples(index=False)], outcome.unlabelled


def test_a_label_goes_to_the_file_at_its_path(export):
    found, lost = relabel(export, FILES)
    assert found == [(str(export / name), f"of {name}") for name in FILES]
    assert not lost


def test_a_name_that_several_files_have_loses_its_label(export):
    whole = (export / FILES[0]).read_bytes()
    (export / FILES[0]).write_bytes(whole[: len(whole) // 2])  # that one of the two is not written makes no difference
    found, lost = relabel(export, ["IM_0000.dcm", "IM_0001", FILES[0], "1.2.3.5"])
    assert found == [(str(export / FILES[2]), "of IM_0001"), (str(export / FILES[1]), "of 1.2.3.5")]
    assert lost[2].startswith(f"several files below {export} are named 'IM_0000.dcm' (study0/IM_0000.dcm, study1/")
    assert lost[4] == f"{FILES[0]}: its file was not written"
