"""`fetal-monai consensus`: the folder that it leaves, its page, and a training on it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from browser import SIZES, open_chromium, opened, violations
from fetal_monai.cli import app
from fetal_monai.data import load_datalists
from fetal_monai.data.consensus import find_consensus, read_votes
from fetal_monai.results.consensus_folder import write_consensus
from made_votes import confusion, simulate

pytest.importorskip("crowdkit", reason="crowd-kit is not installed")
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def experts(phantom, tmp_path_factory):
    """The phantom's labels by three experts; the third errs in a third of the images."""
    folder = tmp_path_factory.mktemp("experts")
    table = pd.read_csv(phantom / "annotations.csv", dtype=str)
    numbers = table.drop_duplicates("class").set_index("class")["class_int"]
    rng = np.random.default_rng(1)
    for name, errors in (("ann", 0.05), ("bob", 0.1), (f"cleo {HOSTILE.replace('/', '')}", 0.3)):
        own = table.copy()
        wrong = rng.random(len(own)) < errors
        own.loc[wrong, "class"] = rng.choice(numbers.index, wrong.sum())
        own.assign(class_int=own["class"].map(numbers)).to_csv(folder / f"{name}.csv", index=False)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def made(experts, phantom, root, tmp_path_factory):
    """The folder, as a person makes it."""
    out = tmp_path_factory.mktemp("consensus") / "out"
    options = ["--out", str(out), "--dicom", str(phantom), "--soft", "--method", "one-coin"]
    options += ["--config", str(root / "bundle/configs/train.yaml")]
    done = CliRunner().invoke(app, ["consensus", *map(str, experts), *options])
    assert done.exit_code == 0, done.output
    assert "60 images" in done.output
    return out


def read(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_the_labels_train_as_they_are(made, phantom, class_names):
    truth = load_datalists(phantom / "annotations.csv", phantom, class_names)
    found = load_datalists(made / "annotations.csv", phantom, class_names)
    right = []
    for split, items in found.items():
        known = {(item["SOPInstanceUID"], item["frame"]): item for item in truth[split]}
        assert len(items) == len(known)
        for item in items:
            twin = known[item["SOPInstanceUID"], item["frame"]]
            assert item["patient_id"] == twin["patient_id"]
            assert item["soft_label"].sum() == pytest.approx(1, abs=1e-5)
            right.append(item["label"] == twin["label"])
    assert np.mean(right) > 0.95
    columns = list(read(made / "annotations.csv").columns)
    assert columns == [
        *["SOPInstanceUID", "split", "class", "class_int", "frame", "patient_id"],
        *[f"p:{name}" for name in class_names],
    ]


def test_experts_and_disagreements_are_listed(made, experts):
    votes = {path.stem: read(path).set_index(["SOPInstanceUID", "frame"])["class"] for path in experts}
    labels = read(made / "annotations.csv").set_index(["SOPInstanceUID", "frame"])["class"]
    listed = read(made / "experts.csv").set_index("expert")
    for name, given in votes.items():
        assert float(listed.loc[name, "agrees"]) == pytest.approx(
            (given == labels.reindex(given.index)).mean(), abs=1e-5
        )
    differing = pd.concat([given.reindex(labels.index) != labels for given in votes.values()], axis=1).any(axis=1)
    rows = read(made / "disagreements.csv")
    assert set(zip(rows["SOPInstanceUID"], rows["frame"], strict=True)) == set(labels.index[differing])
    assert rows["probability"].astype(float).is_monotonic_increasing
    for record in rows.to_dict("records"):
        key = record["SOPInstanceUID"], record["frame"]
        assert record["class"] == labels[key]
        assert {name: record[f"expert:{name}"] for name in votes} == {name: given[key] for name, given in votes.items()}
    rates = read(made / "confusion.csv")
    sums = rates[rates["rate"] != ""].astype({"rate": float}).groupby(["expert", "true"])["rate"].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-4)
    summary = json.loads((made / "consensus.json").read_text())
    assert summary["images_with_a_disagreement"] == len(rows)
    assert summary["method"] == "one-coin"


@pytest.fixture(scope="module")
def chromium():
    with open_chromium() as browser:
        yield browser


@pytest.mark.thorough
@pytest.mark.parametrize(("scheme", "width"), SIZES)
def test_the_page_is_for_everybody(made, chromium, scheme, width):
    rows = read(made / "disagreements.csv")
    with opened(chromium, made / "disagreements.html", scheme, width, bypass_csp=True) as page:
        for summary in page.locator("summary").all():
            summary.focus()
            page.keyboard.press("Enter")
        assert page.locator("details[open]").count() == 3
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.locator(".dispute").count() == len(rows)
        first = page.locator(".dispute").first
        assert rows["class"][0] in first.locator("h3").inner_text()
        assert first.locator("dd").all_inner_texts() == [rows[name][0] for name in rows if name.startswith("expert:")]
        for image in page.locator("img").all():
            image.scroll_into_view_if_needed()
        page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.locator("img").count() == len(rows)
        page.get_by_role("button", name="Agrees with").click()
        shares = page.locator("table.experts td:nth-child(3)").evaluate_all("cells => cells.map(c => c.dataset.key)")
        assert shares == sorted(shares, key=float, reverse=True)
        assert HOSTILE.replace("/", "") in page.locator("#experts").inner_text()


@pytest.mark.thorough
def test_what_has_no_picture_says_why(experts, phantom, chromium, tmp_path):
    found = find_consensus(read_votes(experts), "one-coin")
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted((phantom / "dicom").iterdir())[:20]:
        content = path.read_bytes()
        (few / path.name).write_bytes(content if path.name > "2.25.2" else content[:-2000])
    write_consensus(found, tmp_path / "out", dicom_dir=few, most=5)
    with opened(chromium, tmp_path / "out/disagreements.html") as page:
        assert page.locator(".dispute").count() == 5
        assert f"5 of {len(found.disputed)}" in page.locator("#disagreements").inner_text()
        reasons = page.locator(".no-picture").all_inner_texts()
        assert len(reasons) + page.locator(".dispute img").count() == 5
        assert any("no file is named" in reason for reason in reasons)
    write_consensus(found, tmp_path / "blind")
    with opened(chromium, tmp_path / "blind/disagreements.html") as page:
        assert "--dicom" in page.locator("#disagreements").inner_text()
        assert page.locator("img, .no-picture").count() == 0


@pytest.mark.thorough
def test_undecided_images_and_full_agreement_are_shown_as_such(chromium, tmp_path):
    votes, _ = simulate([confusion(3, 0.9)] * 2, 40, 0)
    found = find_consensus(votes, "majority")
    assert found.tied.any()
    write_consensus(found, tmp_path / "tied")
    with opened(chromium, tmp_path / "tied/disagreements.html") as page:
        assert page.locator(".dispute.tied").count() == found.tied.sum()
        assert "undecided" in page.locator(".dispute.tied h3").first.inner_text()
    votes, _ = simulate([confusion(3, 1.0)] * 2, 40, 0)
    write_consensus(find_consensus(votes), tmp_path / "agreed", soft=True)
    with opened(chromium, tmp_path / "agreed/disagreements.html") as page:
        assert "There is none" in page.locator("#disagreements").inner_text()
    assert read(tmp_path / "agreed/disagreements.csv").empty


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"out": "here"}, "it is there already, and not an empty folder; give another --out"),
        ({"tables": ["ann.csv"]}, "only 'ann' has labelled images"),
        ({"tables": ["ann.csv", "none.csv"]}, "there is no such file"),
        ({"more": ["--dicom", "nowhere"]}, "nowhere"),
    ],
)
def test_a_mistake_is_one_message_and_leaves_nothing(experts, tmp_path, monkeypatch, change, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/kept.txt").write_text("mine")
    for path in experts[:2]:
        (tmp_path / path.name).write_text(path.read_text())
    tables = change.get("tables", ["ann.csv", "bob.csv"])
    command = ["consensus", *tables, "--out", change.get("out", "new"), *change.get("more", [])]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert said in done.output
    assert {path.name for path in tmp_path.iterdir()} == {"here", "ann.csv", "bob.csv"}
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["kept.txt"]


def test_cautions_are_said(experts, tmp_path):
    done = CliRunner().invoke(app, ["consensus", *map(str, experts[:2]), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert "two experts cannot outvote each other" in done.output
    assert "--method one-coin needs fewer" in done.output
    assert "fetal-monai split" not in done.output


def test_without_crowd_kit_it_says_how_to_install_it(experts, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "crowdkit.aggregation", None)
    done = CliRunner().invoke(app, ["consensus", *map(str, experts), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "pip install 'fetal_monai[consensus]'" in done.output
    assert not (tmp_path / "out").exists()
