"""Folders and the command, on the phantom: no text, no name and no old UID is left in anything that is handed on."""

import csv
import shutil
import stat
import subprocess

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
import simplejpeg
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import JPEGLSLossless
from typer.testing import CliRunner

from fetal_monai.cli import app
from fetal_monai.data.phantom import screen
from fetal_monai.deidentify import deidentify_folder, folder
from fetal_monai.dicom import index_dicom
from fetal_monai.dicom.regions import read_regions
from fetal_monai.errors import DicomReadError, InputError


def command(*arguments):
    return CliRunner().invoke(app, ["deidentify", *map(str, arguments)])


@pytest.fixture(scope="module")
def done(phantom, tmp_path_factory):
    """The phantom, de-identified by the command, with its key and its map."""
    folder = tmp_path_factory.mktemp("deidentified")
    result = command(phantom, folder / "out", "--key", folder / "key", "--map", folder / "map.csv")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def pairs(phantom, done):
    """Each file of the phantom with its copy."""
    with (done / "map.csv").open(newline="") as file:
        new = {row["old"]: row["new"] for row in csv.DictReader(file)}
    after = index_dicom(done / "out" / "dicom", cache=False)
    before = index_dicom(phantom, cache=False)
    assert len(before) == len(after) > 50
    return [(entry.path, after[new[uid]].path) for uid, entry in before.items()]


def stack(path):
    """(N, H, W, 3), as pydicom decodes them."""
    array = pixel_array(path)
    return array if array.ndim == 4 else array[None]


@pytest.mark.thorough
def test_regions_are_identical_and_the_rest_is_plain(pairs):
    for before, after in pairs:
        header = pydicom.dcmread(after)
        (region,) = read_regions(header)
        if header.file_meta.TransferSyntaxUID == JPEGLSLossless:  # of what libjpeg-turbo saw; pydicom prefers another
            source = pydicom.dcmread(before)
            frames = generate_frames(source.PixelData, number_of_frames=int(source.get("NumberOfFrames", 1)))
            old = np.stack([simplejpeg.decode_jpeg(frame) for frame in frames])
        else:
            old = stack(before)
        new = stack(after)
        inside = (slice(None), slice(region.top, region.bottom + 1), slice(region.left, region.right + 1))
        assert np.array_equal(old[inside], new[inside])
        outside = new.copy()
        outside[inside] = 0
        assert outside.max() <= 40  # the background of the screen, in blocks that the region shares


def test_no_text_of_the_screen_is_found(pairs):
    """By template: what the phantom writes on its screens, at the size that it writes it."""
    templates = []
    for text, size in ((screen.NOTICE[:9], 0.34), ("(synthetic maker)"[:8], 0.42), ("TIs 0.2", 0.36)):
        canvas = np.zeros((60, 400, 3), np.uint8)
        canvas[:] = screen.BACKGROUND
        (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size / 2, 1)
        cv2.putText(canvas, text, (4, 30), cv2.FONT_HERSHEY_SIMPLEX, size / 2, screen.INK, 1, cv2.LINE_AA)
        templates.append(canvas[30 - height - 1 : 30 + below, 4 : 4 + width, 1])

    def best(path):
        frames = pixel_array(path)
        frame = np.ascontiguousarray((frames if frames.ndim == 3 else frames.max(axis=0))[..., 1])
        return [float(cv2.matchTemplate(frame, one, cv2.TM_CCOEFF_NORMED).max()) for one in templates]

    scores = np.array([[best(before), best(after)] for before, after in pairs[:20]])
    assert scores[:, 0].max(axis=1).min() > 0.8  # the judge can read
    assert scores[:, 1].max() < 0.7


def test_no_file_that_is_handed_on_holds_an_old_name(phantom, done):
    with (done / "map.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {"patient", "uid"}
    old = [row["old"].encode() for row in rows] + [b"SYNTHETIC", str(phantom).encode()]
    for path in (done / "out").rglob("*"):
        content = path.read_bytes() if path.is_file() else str(path).encode()
        found = [name for name in old if name in content or name.decode() in path.name]
        assert not found, path


def test_labels_follow_their_images(phantom, done, pairs):
    before = pd.read_csv(phantom / "annotations.csv", dtype=str)
    after = pd.read_csv(done / "out" / "annotations.csv", dtype=str)
    assert list(after.columns) == [name for name in before.columns if name in after.columns]
    assert after["class"].tolist() == before["class"].tolist()
    assert after["split"].tolist() == before["split"].tolist()
    copies = {pydicom.dcmread(new, stop_before_pixels=True).SOPInstanceUID: new for _, new in pairs}
    headers = [pydicom.dcmread(copies[uid], stop_before_pixels=True) for uid in after["SOPInstanceUID"]]
    assert after["patient_id"].tolist() == [header.PatientID for header in headers]
    assert after.groupby("patient_id").size().tolist() != []
    assert before["patient_id"].nunique() == after["patient_id"].nunique()


def errors(path):
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    return {line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy of the Debian package dicom3tools")
def test_dciodvfy_finds_no_new_error(pairs):
    for before, after in pairs[::4]:
        assert errors(after) <= errors(before)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy of the Debian package dicom3tools")
@pytest.mark.parametrize("name", ["palette", "rgb_color", "ybr_color", "jpeg2k"])
def test_dciodvfy_finds_no_new_error_in_files_of_scanners(tmp_path, name):
    source = get_testdata_file(f"examples_{name}.dcm", download=False)
    (written,) = deidentify_folder(source, tmp_path / "out").written
    assert errors(written.path) <= errors(source)
    header = pydicom.dcmread(source, stop_before_pixels=True)
    old = {
        str(header.get(keyword, "")) for keyword in ("PatientID", "StudyInstanceUID", "StudyDate", "InstitutionName")
    }
    values = {str(element.value) for element in pydicom.dcmread(written.path, stop_before_pixels=True).iterall()}
    assert not (old - {""}) & values  # as values: digits such as 204 stand in a new UID by chance


def test_secrets_are_for_their_owner_alone(done):
    assert [stat.S_IMODE((done / name).stat().st_mode) for name in ("key", "map.csv")] == [0o600, 0o600]


def test_the_sheet_shows_every_file_and_every_frame(done, pairs):
    page = (done / "out" / "contact_sheet.html").read_text()
    clips = 0
    for _, path in pairs:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        names = [f"contact_sheet/{header.SOPInstanceUID}.jpg"]
        if header.get("NumberOfFrames"):
            clips += 1
            names.append(f"contact_sheet/{header.SOPInstanceUID}_all.jpg")
            brightest = pixel_array(path).max(axis=0)
            shown = cv2.imread(str(done / "out" / names[1]))[..., ::-1]
            assert np.abs(shown.astype(int) - brightest).mean() < 4
        assert all(name in page and (done / "out" / name).is_file() for name in names)
    assert clips


def test_a_key_gives_the_same_names_again_and_none_gives_others(kit, tmp_path):
    kit.save(kit.dataset(kit.screens(1)), tmp_path / "in" / "DOE JANE.dcm")
    runs = [
        deidentify_folder(tmp_path / "in", tmp_path / name, key=key)
        for name, key in (("a", tmp_path / "key"), ("b", tmp_path / "key"), ("c", None))
    ]
    names = [run.written[0].path.relative_to(tmp_path / name) for run, name in zip(runs, "abc", strict=True)]
    assert names[0] == names[1] != names[2]
    assert [run.new_key for run in runs] == [True, False, False]
    assert (tmp_path / "a" / names[0]).read_bytes() == (tmp_path / "b" / names[1]).read_bytes()
    assert "DOE" not in str(names)


def test_others_are_passed_over_and_failures_end_with_3(kit, tmp_path):
    folder = tmp_path / "in"
    kit.save(kit.dataset(kit.screens(1)), folder / "a.dcm")
    kit.save(kit.dataset(kit.screens(1), SOPInstanceUID="1.2.3.5", Modality="CT"), folder / "ct.dcm")
    report = kit.dataset(kit.screens(1), SOPInstanceUID="1.2.3.6", Modality="SR")
    del report.PixelData
    kit.save(report, folder / "sr.dcm")
    (folder / "notes.txt").write_text("no DICOM")
    whole = kit.save(kit.dataset(kit.screens(3), SOPInstanceUID="1.2.3.7"), folder / "cut.dcm")
    whole.write_bytes(whole.read_bytes()[:-50_000])
    (folder / "annotations.csv").write_text("SOPInstanceUID,class,source\n1.2.3.4,Femur,DOE\ncut.dcm,Femur,DOE\n")
    result = command(folder, tmp_path / "out")
    assert result.exit_code == 3, result.output
    for line in (
        "1 files of 1 studies",
        "DICOM images of modality CT",
        "DICOM of modality SR without images",
        "1 passed over: not DICOM",
        "cut.dcm: ",
    ):
        assert line in result.output
    assert "row 3: cut.dcm" in result.output
    labels = pd.read_csv(tmp_path / "out" / "annotations.csv", dtype=str)
    assert list(labels.columns) == ["SOPInstanceUID", "class"]
    assert len(labels) == 1
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1


def test_a_value_that_cannot_be_understood_costs_only_itself(kit, tmp_path):
    kit.save(kit.dataset(kit.screens(1)), tmp_path / "in" / "a.dcm")
    broken = kit.save(kit.dataset(kit.screens(1), SOPInstanceUID="1.2.3.5"), tmp_path / "in" / "b.dcm")
    content = broken.read_bytes()  # FrameTime, a number: Z cannot be one
    assert content.count(b"\x18\x00\x63\x10DS\x04\x0040.0") == 1
    broken.write_bytes(content.replace(b"\x18\x00\x63\x10DS\x04\x0040.0", b"\x18\x00\x63\x10DS\x04\x00ZZZZ"))
    outcome = deidentify_folder(tmp_path / "in", tmp_path / "out")
    written = [pydicom.dcmread(one.path, stop_before_pixels=True) for one in outcome.written]
    assert [header.get("FrameTime") for header in written] == [40, None]  # what cannot be understood goes
    assert not outcome.failures


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_name_of_two_uids_is_refused(kit, tmp_path, keyword):
    kit.save(kit.dataset(kit.screens(1), **{keyword: ["1.2.5", "1.2.6"]}), tmp_path / "in/two.dcm")
    kit.save(kit.dataset(kit.screens(1), SOPInstanceUID="1.2.3.5"), tmp_path / "in/one.dcm")
    outcome = deidentify_folder(tmp_path / "in", tmp_path / "out")
    assert [f"{keyword} has several values" in why for why in outcome.failures.values()] == [True]
    assert [written.source for written in outcome.written] == [str(tmp_path / "in/one.dcm")]
    assert [path.suffix for path in (tmp_path / "out/dicom").rglob("*") if path.is_file()] == [".dcm"]


def test_what_cannot_be_read_back_is_not_handed_on(kit, tmp_path, monkeypatch):
    kit.save(kit.dataset(kit.screens(1)), tmp_path / "in" / "a.dcm")

    def broken(written, out):
        raise DicomReadError(written.path, "it is damaged", "try again")

    monkeypatch.setattr(folder, "draw_pictures", broken)
    outcome = deidentify_folder(tmp_path / "in", tmp_path / "out")
    assert not outcome.written
    assert len(outcome.failures) == 1
    assert not list((tmp_path / "out").rglob("*.dcm"))


def test_files_without_regions_are_told_of(kit, tmp_path):
    kit.save(kit.dataset(kit.screens(1), regions=[]), tmp_path / "in" / "a.dcm")
    result = command(tmp_path / "in" / "a.dcm", tmp_path / "out")
    assert result.exit_code == 0
    assert "1 file declares no ultrasound regions" in result.output
    assert 'class="unsure"' in (tmp_path / "out" / "contact_sheet.html").read_text()


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("in/out", [], "lies in the source"),
        ("full", [], "is not empty"),
        ("out", ["--key", "out/key"], "would be handed on"),
        ("out", ["--map", "out/map.csv"], "would be handed on"),
        ("out", ["--map", "full/a"], "is there already"),
        ("out", ["--key", "full/a"], "is no key"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(kit, tmp_path, monkeypatch, out, options, message):
    monkeypatch.chdir(tmp_path)
    kit.save(kit.dataset(kit.screens(1)), tmp_path / "in" / "a.dcm")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("short")
    result = command("in", out, *options)
    assert result.exit_code == 1
    assert message in result.output
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_is_an_error(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="no ultrasound image among 0 files"):
        deidentify_folder(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="does not exist"):
        deidentify_folder(tmp_path / "nowhere", tmp_path / "out")
