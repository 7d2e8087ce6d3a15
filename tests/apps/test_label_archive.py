"""Images from an archive: all of its ultrasound, brought when asked for; and what is said of one that misbehaves."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from archives import PASSWORD, listing, send, serve
from clips import textured, write_clip
from fetal_monai.dicom.index import index_file
from fetal_monai.errors import FetalMonaiError

pytest.importorskip("monailabel")
pytest.importorskip("dicomweb_client")

from fetal_monai.apps.label.image_sources import open_source
from fetal_monai.dicomweb.credentials import Credentials

STILL, MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
SERIES = listing(**{"0020000D": "1", "0020000E": "1.0", "00080060": "US"})


def answering(instances: bytes, file: Path | None = None):
    """Answer like an archive of one series, which knows neither pages nor filters."""

    def respond(handler):
        path = handler.path.partition("?")[0]
        if path.endswith("/instances"):
            send(handler, instances)
        elif "/instances/" in path:
            send(handler, file.read_bytes(), kind="application/dicom")
        else:
            send(handler, SERIES)

    return respond


@pytest.mark.parametrize(
    ("kind", "frames", "clip"),
    [
        (STILL, {"Value": [1]}, False),
        (STILL, {"Value": [30]}, True),
        (MULTI_FRAME, {"Value": ["30"]}, True),
        (MULTI_FRAME, {"Value": ["1"]}, False),
        (MULTI_FRAME, None, True),
        (STILL, None, False),
        (MULTI_FRAME, {"Value": [None]}, True),
        (STILL, {"Value": [None]}, False),
        (STILL, {"Value": []}, False),
        (STILL, {"Value": ["many"]}, False),
        (STILL, {"Value": ["9" * 5000]}, False),
        (MULTI_FRAME, {"Value": {"a": 1}}, True),
        (MULTI_FRAME, "thirty", True),
    ],
)
def test_an_archive_tells_which_are_clips(tmp_path, kind, frames, clip):
    item = {"00080018": {"Value": ["1.2"]}, "00080016": {"Value": [kind]}, "00280008": frames}
    with serve(answering(json.dumps([item]).encode())) as (url, _):
        source = open_source(url, tmp_path)
    assert source.list_ids() == ["1.2"]
    assert source.list_clips() == (["1.2"] if clip else [])


def test_an_archive_that_knows_no_pages_is_asked_twice(tmp_path):
    with serve(answering(listing(**{"00080018": "1.2"}))) as (url, requests):
        assert open_source(url, tmp_path).list_ids() == ["1.2"]
    assert len(requests) == 6  # for series of US and of IVUS, and for instances


def test_an_image_is_brought_once_and_as_it_is_stored_also_below_prefixes(tmp_path):
    write_clip(tmp_path / "stored.dcm", textured(3, (8, 12)))
    uid = index_file(tmp_path / "stored.dcm").sop_instance_uid
    with serve(answering(listing(**{"00080018": uid}), tmp_path / "stored.dcm")) as (url, requests):
        source = open_source(f"{url}/", tmp_path / "cache", qido_prefix="find", wado_prefix="/fetch/")
        images = [source.fetch(uid) for _ in range(2)]
    assert [image.frames for image in images] == [3, 3]
    assert Path(images[0].path).read_bytes() == (tmp_path / "stored.dcm").read_bytes()
    *searches, retrieval = [path.partition("?")[0] for path, _ in requests]
    assert set(searches) == {"/dicom-web/find/series", "/dicom-web/find/studies/1/series/1.0/instances"}
    assert retrieval == f"/dicom-web/fetch/studies/1/series/1.0/instances/{uid}"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"body": b"{}"}, r"lists '' where a UID belongs; give the URL of the DICOMweb service, which often ends in"),
        ({"body": b'{"Message": "Unknown resource"}'}, "lists '' where a UID belongs; give the URL"),
        ({"body": b'["6c2f-11"]'}, "is no DICOM JSON; give the URL of the DICOMweb service"),
        ({"body": b"<html>", "kind": "text/html"}, "answers with a web page"),
        ({"body": listing(**{"0020000D": "1", "0020000E": "../../x"})}, r"lists '../../x' where a UID belongs; look"),
        ({"body": b"[]"}, "no series of Modality US or IVUS; store some, or ask for other rights"),
        ({"status": 400}, "does not understand the question .+; give the URL of the DICOMweb service"),
        ({"status": 404}, "has nothing there .+; give the URL of the DICOMweb service"),
        (
            {"status": 401},
            "refuses the user name .+ set MONAI_LABEL_DATASTORE_USERNAME and MONAI_LABEL_DATAST",
        ),
    ],
)
def test_what_is_no_archive_is_told_with_the_remedy(tmp_path, answer, said):
    who = Credentials("reader", PASSWORD)
    with (
        serve(lambda handler: send(handler, **answer)) as (url, requests),
        pytest.raises(FetalMonaiError, match=said) as caught,
    ):
        open_source(url, tmp_path, credentials=who)
    assert len(requests) <= 2
    assert PASSWORD not in str(caught.value)


def test_no_user_in_the_archives_url(tmp_path):
    with pytest.raises(FetalMonaiError, match="set MONAI_LABEL_DATASTORE_USERNAME and") as caught:
        open_source("http://me:secret@127.0.0.1/dicom-web", tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.thorough
def test_the_path_of_a_real_archives_service_is_asked_for(orthanc, label_studies, tmp_path):
    url = orthanc([label_studies.dicom[uid] for uid in (label_studies.stills[0], label_studies.clips[0])])
    assert open_source(url, tmp_path).list_clips() == label_studies.clips[:1]
    with pytest.raises(FetalMonaiError, match="give the URL of the DICOMweb service, which often ends in /dicom-web"):
        open_source(url.removesuffix("/dicom-web"), tmp_path)


@pytest.mark.thorough
def test_an_archive_that_cannot_be_reached_is_told_without_a_traceback(label_model, root, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/dicom-web"
        command = [sys.executable, "-m", "fetal_monai", "label", "--studies", url, "--model", str(label_model)]
        options = ["--workspace", str(tmp_path), "--bundle", str(root / "bundle"), "--port", "0"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 1
    assert f"Error: {url.removesuffix('/dicom-web')}: cannot be reached (ConnectionError); check the URL" in done.stderr
    assert "Traceback" not in done.stderr
