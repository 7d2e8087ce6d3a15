"""The report that `run evaluating` makes of real images, in a real browser."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from fetal_monai.model.description import describe_model
from fetal_monai.model.facts import write_facts

pytestmark = pytest.mark.thorough

NETWORK = {
    "_target_": "fetal_monai.networks.DualBranchClassifier",
    "num_classes": "@num_classes",
    "shallow": {"_target_": "fetal_monai.networks.ResNetBackbone", "depth": 18},
    "detailed": {"_target_": "fetal_monai.networks.ResNetBackbone", "depth": 18},
    "shallow_size": "@shallow_size",
}


@pytest.fixture(scope="module")
def report(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluate a small network of random weights on the real images: its errors are many and its pictures real."""
    data = root.parent / "shared" / "data" / "fetal_planes"
    if not data.is_dir():
        pytest.skip("needs the DICOM files of FETAL_PLANES_DB, which are not shipped")
    out = tmp_path_factory.mktemp("fetal_planes")
    configs = root / "bundle" / "configs"
    workflow = ConfigWorkflow(
        config_file=[str(configs / name) for name in ("train.yaml", "datasets/fetal_planes.yaml", "evaluate.yaml")],
        workflow_type="train",
        logging_file=False,
        run_id="evaluating",
        dataset_dir=str(data),
        ckpt_dir=str(out / "model"),
        output_dir=str(out / "eval"),
        base_size=[120, 160],
        shallow_size=[32, 32],
        detailed_size=[64, 64],
        batch_size=32,
        num_workers=0,
        network_def=NETWORK,
    )
    workflow.initialize()
    torch.manual_seed(0)
    content = workflow.parser.get_parsed_content
    network, names = content("network_def"), content("class_names")
    (out / "model").mkdir()
    torch.save(network.state_dict(), out / "model" / "model.pt")
    facts = describe_model(network, content("validate#preprocessing"), names, content("datalists"))
    write_facts(out / "model", facts)
    workflow.run()
    return out / "eval"


def test_the_report_of_real_images_stands_alone_in_a_browser(report: Path, chromium):
    counts = np.array(json.loads((report / "metrics.json").read_text())["confusion_matrix"])
    assert counts.sum() == 152
    row, column = np.unravel_index(counts.argmax(), counts.shape)
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    page = context.new_page()
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((report / "report.html").as_uri())
    page.locator(f'.cell[data-cell="{row}-{column}"]').click()
    pictures = page.locator("#cell-images img")
    assert pictures.count() == min(12, counts[row, column])
    brightness = pictures.first.evaluate(
        "i => {const c = document.createElement('canvas').getContext('2d'); c.drawImage(i, 0, 0);"
        "return Math.max(...c.getImageData(0, 0, i.naturalWidth, i.naturalHeight).data.filter((_, k) => k % 4 == 0))}"
    )
    assert brightness > 100, "an ultrasound image, and no empty picture"
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []

    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None:
        pytest.skip("axe-playwright-python is not installed")
    page.add_script_tag(path=Path(spec.origin).parent / "axe.min.js")
    violations = page.evaluate("axe.run()")["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in violations if v["impact"] in ("serious", "critical")] == []
