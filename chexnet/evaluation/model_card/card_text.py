"""Write a model card as Markdown with YAML front matter."""

import json
import math
import re
from pathlib import Path
from typing import Any

from chexnet.config.crops import format_crops
from chexnet.data import audit
from chexnet.errors import printable
from chexnet.evaluation.model_card.card_inputs import CardInputs

UNKNOWN = "unknown"
"""Written wherever no file and no person said anything."""

_LICENSE = "unknown"
"""Hugging Face's identifier for a license that nobody stated."""

_MARKUP = re.compile(r"([\\`*<>|\[\]])")

_TRAINING_FIELDS = (
    *("recipe", "init", "optimizer", "learning_rate", "schedule", "batch_size", "epoch", "loss", "augment", "select"),
    *("weight_decay", "ema", "early_stopping", "seed"),
)


def render_card(inputs: CardInputs) -> str:
    """Return the card of a checkpoint. It has no date, so that the same files give the same bytes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_plain,
    )
    environment.filters.update(number=_number, thousands="{:,}".format, file_name=lambda path: Path(path).name)
    template = environment.get_template("model_card.md")
    lists = _lists(inputs)
    text: str = template.render(
        inputs=inputs,
        checkpoint=inputs.checkpoint,
        config=inputs.checkpoint.config,
        metadata=inputs.checkpoint.metadata,
        report=inputs.report,
        thresholds=inputs.thresholds,
        lists=lists,
        training=_training(inputs),
        parameters=sum(array.size for array in inputs.checkpoint.weights.values()),
        crops=format_crops(inputs.checkpoint.config.crops),
        front_matter=_Raw(_front_matter(inputs)),
        unknown=UNKNOWN,
        say=lambda name: inputs.details.get(name, UNKNOWN),
        nih_labels=any(listed["known"] for listed in lists),
    )
    return text


class _Raw(str):
    """Text that is not escaped."""


def _plain(value: Any) -> str:
    """Escape what would be markup in Markdown, line breaks and control characters."""
    if isinstance(value, _Raw):
        return value
    text = "" if value is None else re.sub(r"\s+", " ", str(value))
    return _MARKUP.sub(r"\\\1", printable(text))


def _number(value: float | None, digits: int = 3) -> str:
    return UNKNOWN if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _lists(inputs: CardInputs) -> list[dict[str, Any]]:
    """Return what is known about each list, in the order of `inputs.roles`."""
    if inputs.lists is None:
        return []
    passports = zip(inputs.roles, inputs.lists.lists, inputs.lists.passports, strict=False)
    return [
        {
            "role": role,
            "name": Path(summary.path).name,
            "images": summary.images,
            "patients": summary.patients,
            "unknown_patients": summary.unknown_patients,
            "positives": summary.positives,
            "known": passport.known,
            "labels": passport.labels,
            "seen": summary.seen and audit.format_training_overlap(summary.seen),
        }
        for role, summary, passport in passports
    ]


def _training(inputs: CardInputs) -> list[tuple[str, Any]]:
    """Return the settings of the training that are known, by name."""
    config = inputs.train_config
    return [(name, getattr(config, name)) for name in _TRAINING_FIELDS] if config else []


def _front_matter(inputs: CardInputs) -> str:
    """Return Hugging Face's metadata in YAML. All values are JSON, which YAML contains."""
    details, report = inputs.details, inputs.report
    values: dict[str, Any] = {
        "license": details.get("license", _LICENSE),
        "library_name": "paddlepaddle",
        "pipeline_tag": "image-classification",
        "tags": ["chest-x-ray", "radiology", "multi-label-classification", inputs.checkpoint.config.backbone],
        "metrics": ["roc_auc"],
    }
    if report and not math.isnan(report.mean.value):
        dataset = Path(report.source).name
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"type": dataset, "name": f"{dataset}, {report.images} images"},
            "metrics": [
                {"type": "roc_auc", "name": f"mean AUROC of {report.classes} classes", "value": report.mean.value}
            ],
        }
        values["model-index"] = [{"name": details.get("name", inputs.checkpoint.path.stem), "results": [result]}]
    return "\n".join(f"{name}: {json.dumps(value)}" for name, value in values.items())
