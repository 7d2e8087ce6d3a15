"""Which files belong together: studies, patients, folders; and one bad file stops nothing."""

from __future__ import annotations

import threading

import cv2
import numpy as np

from clips import textured, write_clip
from fetal_monai.dicom import FrameRef, read_frame
from fetal_monai.inference import Predictor
from fetal_monai.inference.discover import FoundImages, find_images
from fetal_monai.study import grouping
from fetal_monai.study.grouping import group_studies
from fetal_monai.study.study import analyse_studies, unreadable_frames


def still(path, **elements):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, textured(1), NumberOfFrames=None, FrameTime=None, **elements)


def grouped(folder):
    studies, failures = group_studies(find_images([folder]))
    return studies, failures


def test_studies_and_patients_are_kept_apart(tmp_path):
    still(tmp_path / "a/1.dcm", StudyInstanceUID="1.1", PatientID="A")
    still(tmp_path / "b/2.dcm", StudyInstanceUID="1.2", PatientID="A")
    still(tmp_path / "b/3.dcm", StudyInstanceUID="1.1", PatientID="A")
    still(tmp_path / "c/4.dcm", StudyInstanceUID="1.1", PatientID="B")
    write_clip(tmp_path / "a/5.dcm", textured(4), StudyInstanceUID="1.1", PatientID="A")
    studies, failures = grouped(tmp_path)
    assert failures == []
    found = [([p[-5] for p in s.stills], list(s.clips.values()), s.study_instance_uid) for s in studies]
    assert found == [(["1", "3"], [4], "1.1"), (["2"], [], "1.2"), (["4"], [], "1.1")]
    assert ["2 patients have this StudyInstanceUID" in "".join(s.warnings) for s in studies] == [True, False, True]


def test_pictures_and_dicom_without_a_study_go_by_their_folder(tmp_path):
    for name in ("a/1.png", "a/2.jpg", "b/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), textured(1)[0])
    still(tmp_path / "c/4.dcm", StudyInstanceUID=None)
    (tmp_path / "a/notes.txt").write_text("x")
    studies, _ = grouped(tmp_path)
    assert [
        (s.name, len(s.stills), s.study_instance_uid, len(s.passed_over)) for s in sorted(studies, key=lambda s: s.name)
    ] == [
        ("a", 2, None, 1),
        ("b", 1, None, 0),
        ("c", 1, None, 0),
    ]


def test_links_belong_to_the_folder_that_they_are_in(tmp_path):
    (tmp_path / "study").mkdir()
    for number in range(3):  # as git-annex and DVC keep files: each in a folder of its own elsewhere
        stored = tmp_path / f"store/{number}/file.png"
        stored.parent.mkdir(parents=True)
        cv2.imwrite(str(stored), textured(1)[0])
        (tmp_path / f"study/{number}.png").symlink_to(stored)
    (tmp_path / "study/loop.png").symlink_to("loop.png")
    found = find_images([tmp_path / "study"])
    (study,), _ = group_studies(found)
    assert (study.name, len(study.stills)) == ("study", 3)
    assert [failure.source for failure in found.failures] == [str(tmp_path / "study/loop.png")]


def test_what_lies_beside_several_studies_belongs_to_none(tmp_path):
    still(tmp_path / "a/1.dcm", StudyInstanceUID="1.1")
    still(tmp_path / "a/2.dcm", StudyInstanceUID="1.2")
    still(tmp_path / "b/3.dcm", StudyInstanceUID="1.1")
    for name in ("a/notes.txt", "b/notes.txt", "none/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    studies, _ = grouped(tmp_path)
    assert [list(study.passed_over) for study in studies] == [[str(tmp_path / "b/notes.txt")], []]


def test_each_file_is_looked_up_once_however_many_studies(tmp_path, monkeypatch):
    passed_over = {str(tmp_path / f"{k % 20}/{k}.txt"): "not DICOM" for k in range(100)}
    frames = []
    for k in range(20):
        (tmp_path / str(k)).mkdir()
        cv2.imwrite(str(tmp_path / f"{k}/1.png"), textured(1)[0])
        frames.append(FrameRef(str(tmp_path / f"{k}/1.png")))
    looked_up = []
    real = grouping._folder
    monkeypatch.setattr(grouping, "_folder", lambda path: looked_up.append(path) or real(path))
    studies, _ = group_studies(FoundImages(frames, [], passed_over))
    assert len(looked_up) == 120
    assert [len(study.passed_over) for study in studies] == [5] * 20


def test_one_bad_file_stops_nothing(tmp_path, model_dir):
    still(tmp_path / "1.dcm")
    bad = tmp_path / "2.dcm"
    still(bad)
    write_clip(tmp_path / "3.dcm", textured(9), NumberOfFrames=12)
    write_clip(tmp_path / "4.dcm", textured(9))
    found = find_images([tmp_path])
    bad.write_bytes(b"gone wrong")
    studies, failures = group_studies(found)
    assert [failure.source for failure in failures] == [str(bad)]
    done = []
    (study,) = analyse_studies(studies, Predictor(model_dir, device="cpu"), progress=done.append)
    assert [len(study.stills), len(study.clips)] == [1, 2]
    assert [failure.message for failure in study.failures] == [unreadable_frames(study.clips[0])]
    assert "3 of 12 frames cannot be read (9, 10, 11)" in study.failures[0].message
    assert done == sorted(done)
    assert done[-1] == 1 + 12 + 9
    assert all(np.isfinite(item.measured) for item in study.stills)


def test_a_clip_that_vanishes_is_a_failure(tmp_path, model_dir):
    still(tmp_path / "1.dcm")
    write_clip(tmp_path / "2.dcm", textured(9))
    studies, _ = grouped(tmp_path)
    (tmp_path / "2.dcm").unlink()
    (study,) = analyse_studies(studies, Predictor(model_dir, device="cpu"))
    assert [failure.source for failure in study.failures] == [str(tmp_path / "2.dcm")]
    assert len(study.stills) == 1


def test_studies_are_looked_at_in_one_stream_and_each_keeps_its_own(tmp_path, model_dir):
    for study, stills in enumerate((3, 0, 1, 2)):
        (tmp_path / str(study)).mkdir()
        for number in range(stills):
            still(tmp_path / f"{study}/{number}.dcm", StudyInstanceUID=f"1.{study}")
        if study < 2:
            write_clip(tmp_path / f"{study}/clip.dcm", textured(9, seed=study), StudyInstanceUID=f"1.{study}")
    studies, _ = grouped(tmp_path)
    (tmp_path / "0/1.dcm").write_bytes(b"gone wrong meanwhile")
    predictor = Predictor(model_dir, device="cpu", batch_size=2)
    found = list(analyse_studies(iter(studies), predictor))
    alone = [study for files in studies for study in analyse_studies([files], predictor)]
    assert [[still.source[-5] for still in study.stills] for study in found] == [["0", "2"], [], ["0"], ["0", "1"]]
    assert [len(study.failures) for study in found] == [1, 0, 0, 0]
    for together, single in zip(found, alone, strict=True):
        assert together.failures == single.failures
        assert [one.source for one in together.predictions] == [one.source for one in single.predictions]
        for one, other in zip(together.predictions, single.predictions, strict=True):
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)


def test_a_caller_that_stops_early_leaves_no_thread(tmp_path, model_dir):
    for study in range(6):
        still(tmp_path / f"{study}/1.dcm", StudyInstanceUID=f"1.{study}")
    studies, _ = grouped(tmp_path)
    before = set(threading.enumerate())
    looking = analyse_studies(studies, Predictor(model_dir, device="cpu", batch_size=1))
    next(looking)
    looking.close()
    assert not [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("decode")]


def test_the_first_stills_are_drawn_while_they_are_decoded(tmp_path, model_dir, monkeypatch):
    monkeypatch.setattr("fetal_monai.study.study.PICTURED_STILLS", 2)
    for number in range(3):
        still(tmp_path / f"{number}.dcm")
    (tmp_path / "other").mkdir()
    still(tmp_path / "other" / "9.dcm", StudyInstanceUID="1.9")
    studies, _ = grouped(tmp_path)
    drawn = []

    def draw(pixels):
        drawn.append(pixels.copy())
        return pixels.tobytes()

    first, other = analyse_studies(studies, Predictor(model_dir, device="cpu"), picture=draw)
    assert len(drawn) == 3
    assert list(first.pictures) == [str(tmp_path / f"{number}.dcm") for number in range(2)]
    assert other.pictures == {str(tmp_path / "other/9.dcm"): read_frame(tmp_path / "other/9.dcm").tobytes()}
    (plain, _) = analyse_studies(studies, Predictor(model_dir, device="cpu"))
    assert plain.pictures == {}
