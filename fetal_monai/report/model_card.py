"""What must be known of a model before its numbers are believed: the generated part of the model card.

The items follow CLAIM 2024 (Tejani et al., Radiology: AI 6, 2024) and TRIPOD+AI (Collins et al., BMJ 385, 2024), as far
as a program can know them; docs/model_card.md holds those that only people know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fetal_monai.metrics.classification import ENOUGH_IMAGES, MACRO_F1_OF_COMMON
from fetal_monai.model.facts import NOTICE, ModelFacts
from fetal_monai.report.evaluation import Evaluation
from fetal_monai.report.html import LABELS, Section
from fetal_monai.report.summary import format_interval

USE = (
    ("Intended use", "Research on the classification of standard planes in second-trimester fetal ultrasound."),
    ("Intended users", "Researchers, and engineers who test integrations; with a person who judges every output."),
    ("Not intended for", f"{NOTICE} Nor for images of other organs, trimesters or modalities than it was trained on."),
    ("Outputs", "A probability for each class of one frame; no measurement, and no statement on fetal health."),
)
TOO_NARROW = "they show too little variation, so intervals of averages that hold them are too narrow"


def model_card(evaluation: Evaluation, facts: ModelFacts | None = None) -> list[Section]:
    """Collect what is known of a model and its evaluation.

    Args:
        evaluation: what was found out.
        facts: of the model folder; None leaves the model and its data undescribed, and says so.

    Returns:
        Sections in the order of a model card.
    """
    sections = [Section("Use", USE)]
    if facts is None:
        sections.append(Section("Model", [("Model folder", "not given, so model and training data are not described")]))
    else:
        sections += [Section("Model", _model(facts)), Section("Data", _data(facts.data))]
    return [*sections, Section("Evaluation", _evaluation(evaluation)), Section("Known limits", _limits(evaluation))]


def _model(facts: ModelFacts) -> list[tuple[str, str]]:
    software = facts.software
    versions = ", ".join(f"{name} {version}" for name, version in software.get("versions", {}).items())
    return [
        ("Classes", ", ".join(facts.class_names)),
        ("Network", _record(facts.network)),
        ("Preprocessing", "; ".join(_record(step) for step in facts.preprocessing)),
        ("Software", versions or "unknown"),
        ("Source revision", software.get("revision") or "unknown (an installed package)"),
    ]


def _record(record: Mapping[str, Any]) -> str:
    """A record of `fetal_monai.utils.serialization` in words: the class, and its arguments in brackets."""
    name = str(record.get("_target_", "unknown")).rpartition(".")[2]
    arguments = [
        f"{key}={_record(value) if isinstance(value, Mapping) and '_target_' in value else value}"
        for key, value in record.items()
        if key != "_target_"
    ]
    return f"{name}({', '.join(arguments)})" if arguments else name


def _data(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not data:
        return [("Training data", "not recorded in the model folder")]
    rows = []
    for split, facts in data.items():
        if isinstance(facts, Mapping):
            patients = "unknown patients" if facts["patients"] is None else f"{facts['patients']} patients"
            counts = ", ".join(f"{name} {count}" for name, count in facts["classes"].items())
            rows.append((f"Split {split}", f"{facts['images']} images of {patients}: {counts}"))
    if "learnt" in data:
        rows.append(("The weights have learnt from", ", ".join(data["learnt"])))
    return [*rows, ("Fingerprint of images, splits and labels (SHA-256)", str(data.get("sha256", "unknown")))]


def _evaluation(evaluation: Evaluation) -> list[tuple[str, str]]:
    metrics, overall = evaluation.metrics, evaluation.intervals.overall
    patients = "unknown patients" if metrics["patients"] is None else f"{metrics['patients']} patients"
    return [
        ("Images", f"{metrics['images']} of {patients}, apart from those that anything was fitted on"),
        ("Uncertainty", metrics["intervals"]["method"]),
        ("Averages", f"macro averages over {metrics['macro_f1_is_over']}"),
        *((LABELS[name], format_interval(overall[name])) for name in ("macro_f1", MACRO_F1_OF_COMMON)),
        ("Fairness", "not assessed: the annotations carry neither device, site nor maternal characteristics"),
    ]


def _limits(evaluation: Evaluation) -> list[tuple[str, str]]:
    metrics = evaluation.metrics
    rows = [("Reference standard", "the annotations are taken as the truth; disagreement of experts is not modelled")]
    few = [name for name, row in metrics["per_class"].items() if 0 < row["support"] < ENOUGH_IMAGES]
    if metrics["classes_absent"]:
        rows.append(("Classes without a test image", ", ".join(metrics["classes_absent"])))
    if few:
        rows.append((f"Classes with fewer than {ENOUGH_IMAGES} test images", f"{', '.join(few)}: {TOO_NARROW}"))
    if metrics["patients"] is None:
        rows.append(
            ("Patients", "unknown, so that images of one patient may be on both sides, and there are no intervals")
        )
    conformal = metrics["conformal_sets"]
    if conformal and conformal["shared_thresholds"]:
        rows.append(("Classes whose conformal threshold is shared", ", ".join(conformal["shared_thresholds"])))
    rows.append(("External validity", "not shown by this report: it is about this data set only"))
    return rows
