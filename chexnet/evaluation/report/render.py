"""Render a report as a single HTML page that loads nothing from elsewhere."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chexnet.evaluation.report import charts, forest
from chexnet.evaluation.report.class_scores import ClassScores
from chexnet.evaluation.report.forest import draw_forest
from chexnet.evaluation.report.group_scores import RULE as GROUP_RULE
from chexnet.evaluation.report.report_builder import Report
from chexnet.known_lists import split_of
from chexnet.metrics.bootstrap import REPLICATES
from chexnet.metrics.clustered_means import ClusteredMean
from chexnet.metrics.delong import AUROCEstimate
from chexnet.metrics.operating_points import RULES, Proportion
from chexnet.published import comparability, published_results

if TYPE_CHECKING:
    from jinja2 import Environment

DASH = "\N{EN DASH}"
"""Shown for undefined values."""

_GROUP_MEASURES = {
    "auroc": "AUROC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "calibration": "calibration",
}
"""Measure of a difference between groups -> its name on the page."""


@dataclass(frozen=True)
class Chart:
    """A chart of one finding.

    Attributes:
        name: name of the finding.
        caption: scores, shown below the chart.
        description: text alternative for screen readers.
        drawing: SVG elements, see `charts.draw`.
    """

    name: str
    caption: str
    description: str
    drawing: str


def render_html(report: Report) -> str:
    """Render the page; all text is escaped by the templates."""
    predictions, other = report.predictions, report.other
    own_split = split_of(predictions.names)
    published = published_results(predictions.classes, own_split)
    systems = [system for system in published if system.auroc]
    members = report.run.get("members", [])
    sections = {
        "auroc": "AUROC next to published results" if systems else "AUROC",
        "comparison": "Comparison of the two models" if other else "",
        "roc": "ROC curves",
        "precision_recall": "Precision-recall curves",
        "calibration": "Calibration",
        "operating_points": "Operating points",
        "groups": "Groups of images" if report.groups else "",
        "cooccurrence": "Co-occurring findings",
        "ensemble": "Checkpoints of the ensemble" if members else "",
        "run": "How this report was computed",
    }
    return _environment().get_template("report.html").render(
        report=report,
        origin=predictions.origin,
        other_origin=other.origin if other else "",
        sections={name: title for name, title in sections.items() if title},
        summary=_summary(report),
        disclaimers=dict.fromkeys(str(run["notice"]) for run in members or [report.run] if run.get("notice")),
        systems=systems,
        comparability=comparability(own_split) if published else (),
        own_split=own_split,
        splits=[(split, len(list(group))) for split, group in groupby(systems, key=lambda system: system.split)],
        replicates=REPLICATES,
        rules={name: rule.description for name, rule in RULES.items()},
        roc_charts=_roc_charts(report),
        precision_recall_charts=_precision_recall_charts(report),
        forests=[[(finding, draw_forest(finding)) for finding in results.findings] for results in report.groups],
        group_rule=GROUP_RULE,
        group_measures=_GROUP_MEASURES,
        reliability_charts=_reliability_charts(report),
        config=report.run.get("config", {}),
        run=_run(report),
    )  # fmt: skip


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        decimals=_decimals,
        estimate=_estimate,
        p_value=_p_value,
        proportion=_proportion,
        clustered=_clustered,
        signed_mean=_signed_mean,
        thousands="{:,}".format,
        file_name=lambda path: Path(path).name,
    )
    environment.tests["nan"] = math.isnan
    environment.globals.update(interval=_interval, width=charts.WIDTH, height=charts.HEIGHT, zip=zip)
    environment.globals.update(forest_width=forest.WIDTH, forest_height=forest.height)
    return environment


def _summary(report: Report) -> list[tuple[str, str]]:
    """Return the labels and values of the most important numbers."""
    mean, classes, patients = report.scores.mean, report.predictions.classes, report.predictions.patients
    defined = len(classes) - len(report.scores.undefined)
    numbers = [
        (f"mean AUROC over {defined} of {len(classes)} findings", _decimals(mean.auroc, 4)),
        ("95 % interval from resampling patients", _interval(mean.low, mean.high, 4)),
        ("images", f"{len(report.predictions):,}"),
        (f"patients, identified by {patients.source}", f"{len(patients.known):,}"),
    ]
    if patients.unknown:
        numbers.append(("images of unknown patients", f"{patients.unknown:,}"))
    if report.comparison:
        gap = report.comparison.mean
        numbers.append(("difference in mean AUROC, first minus second", _decimals(gap.difference, 4, "+")))
        numbers.append(("95 % interval of the difference", _interval(gap.low, gap.high, 4)))
    return numbers


def _run(report: Report) -> list[tuple[str, object]]:
    """Return what made the predictions and the report, as names and values."""
    run = report.run
    return [
        ("predictions", report.predictions.origin),
        *((name, run[name]) for name in ("engine", "preprocessing", "seconds", "paddle") if name in run),
        *((f"SHA-256 of {name}", digest) for name, digest in run.get("sha256", {}).items()),
        *((f"SHA-256 of {member['ckpt']}", member["sha256"]) for member in run.get("members", [])),
        *report.versions.items(),
    ]


def _roc_charts(report: Report) -> list[Chart]:
    """Draw the ROC curves of the findings that have one."""

    def chart(index: int, scores: ClassScores, second: ClassScores | None) -> Chart:
        caption = f"AUROC {_estimate(scores.auroc)}"
        caption += f"; second {_decimals(second.auroc.auroc)}" if second else ""
        drawing = charts.draw(_curves(report, index, charts.roc), "1 - specificity", "sensitivity")
        return Chart(scores.name, caption, f"ROC curve of {scores.name}: {caption}", drawing)

    return _defined_charts(report, chart)


def _precision_recall_charts(report: Report) -> list[Chart]:
    """Draw the precision-recall curves of the findings that have one; the guide is the prevalence."""

    def chart(index: int, scores: ClassScores, second: ClassScores | None) -> Chart:
        caption = f"AUPRC {_decimals(scores.auprc)}"
        caption += f"; second {_decimals(second.auprc)}" if second else ""
        caption += f", prevalence {scores.prevalence:.3f}"
        drawing = charts.draw(
            _curves(report, index, charts.precision_recall),
            "recall (sensitivity)",
            "precision (PPV)",
            guide=(scores.prevalence, scores.prevalence),
        )
        return Chart(scores.name, caption, f"Precision-recall curve of {scores.name}: {caption}", drawing)

    return _defined_charts(report, chart)


def _reliability_charts(report: Report) -> list[Chart]:
    """Draw reliability diagrams, as predicted and after Platt scaling if it was fitted."""
    diagrams = []
    for scores in report.scores.classes:
        after = report.validation_fit.by_platt[scores.name] if report.validation_fit else None
        all_bins = [scores.bins, *([after.bins] if after else [])]
        limit = charts.reliability_limit(all_bins)
        caption = f"ECE {scores.ece:.4f}" + (f", after Platt scaling {after.ece:.4f}" if after else "")
        description = f"Reliability diagram of {scores.name}, axes from 0 to {limit:g}: {caption}"
        drawing = charts.draw(
            list(map(charts.reliability, all_bins)),
            "predicted probability",
            "observed frequency",
            limit,
            salt=scores.name,
        )
        diagrams.append(Chart(scores.name, caption, description, drawing))
    return diagrams


def _defined_charts(report: Report, chart: Callable[[int, ClassScores, ClassScores | None], Chart]) -> list[Chart]:
    """Draw the charts of the classes with positives and negatives."""
    seconds = report.other_scores.classes if report.other_scores else [None] * len(report.scores.classes)
    pairs = enumerate(zip(report.scores.classes, seconds, strict=True))
    return [chart(index, scores, second) for index, (scores, second) in pairs if scores.defined]


def _curves(report: Report, index: int, curve: Callable[[np.ndarray, np.ndarray], charts.Curve]) -> list[charts.Curve]:
    """Compute the curve of the first predictions and, if there are any, of the second."""
    models = [report.predictions, *([report.other] if report.other else [])]
    return [curve(model.labels[:, index], model.probabilities[:, index]) for model in models]


def _decimals(value: float | None, digits: int = 3, sign: str = "") -> str:
    """Format a number, or a dash if it is undefined."""
    return DASH if value is None or math.isnan(value) else f"{value:{sign}.{digits}f}"


def _interval(low: float, high: float, digits: int = 3) -> str:
    """Format an interval as `0.812 to 0.845`, or a dash if it is undefined."""
    return DASH if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"


def _estimate(estimate: AUROCEstimate) -> str:
    """Format an AUROC with its interval as `0.830 (0.812 to 0.845)`, or a dash if it is undefined."""
    return _with_interval(estimate.auroc, estimate.low, estimate.high)


def _proportion(proportion: Proportion) -> str:
    """Format a proportion with its interval in the same way."""
    return _with_interval(proportion.value, *proportion.interval)


def _clustered(proportion: ClusteredMean | None) -> str:
    """Format a proportion with patients as clusters, or a dash if there is none."""
    return DASH if proportion is None else _with_interval(proportion.value, *proportion.wilson)


def _signed_mean(mean: ClusteredMean) -> str:
    """Format a mean with its sign and interval as `+0.012 (0.008 to 0.016)`."""
    return DASH if math.isnan(mean.value) else f"{mean.value:+.3f} ({_interval(*mean.interval)})"


def _with_interval(value: float, low: float, high: float) -> str:
    return DASH if math.isnan(value) else f"{value:.3f} ({_interval(low, high)})"


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else _decimals(value, 4)
