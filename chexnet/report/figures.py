"""The charts of a report's page, a small one for each finding."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np

from chexnet.report import charts
from chexnet.report.contents import Report
from chexnet.report.markup import decimals, figure, interval
from chexnet.report.scores import ClassScores


def roc(report: Report) -> str:
    """ROC curves of the findings that have one."""

    def one_class(index: int, scores: ClassScores) -> str:
        curves = _curves(report, index, charts.roc)
        area = f"{decimals(scores.auroc.auroc)} ({interval(scores.auroc.low, scores.auroc.high)})"
        svg = charts.chart(
            f"ROC curve of {scores.name}: AUROC {area}{_other(report, index, 'auroc')}",
            ("1 - specificity", "sensitivity"),
            curves,
        )
        return figure(svg, f"<strong>{escape(scores.name)}</strong><br>AUROC {area}{_other(report, index, 'auroc')}")

    return _legend(report) + _grid(report, one_class)


def precision_recall(report: Report) -> str:
    """Precision-recall curves, with the prevalence as the line of a classifier that knows nothing."""

    def one_class(index: int, scores: ClassScores) -> str:
        words = f"AUPRC {decimals(scores.auprc)}{_other(report, index, 'auprc')}, prevalence {scores.prevalence:.3f}"
        svg = charts.chart(
            f"Precision-recall curve of {scores.name}: {words}",
            ("recall (sensitivity)", "precision (PPV)"),
            _curves(report, index, charts.precision_recall),
            guide=(scores.prevalence, scores.prevalence),
        )
        return figure(svg, f"<strong>{escape(scores.name)}</strong><br>{words}")

    text = "<p>The dashed line is the prevalence: the precision of a classifier that knows nothing.</p>"
    return text + _legend(report) + _grid(report, one_class)


def reliability(report: Report) -> str:
    """Reliability diagrams, before and after Platt's calibration if there is one."""
    fitted = report.transfer

    def one_class(index: int, scores: ClassScores) -> str:
        after = fitted.by_platt[scores.name] if fitted else None
        limit = charts.reliability_limit([scores.bins, *([after.bins] if after else [])])
        curves = [charts.reliability(scores.bins, "first", limit)]
        words = f"ECE {scores.ece:.4f}"
        if after:
            curves.append(charts.reliability(after.bins, "second", limit))
            words += f", after Platt {after.ece:.4f}"
        svg = charts.chart(
            f"Reliability diagram of {scores.name}, axes to {limit:g}: {words}",
            ("probability given", "share that has it"),
            curves,
            limit,
        )
        return figure(svg, f"<strong>{escape(scores.name)}</strong><br>{words}")

    text = (
        "<p>Do findings occur as often as the probabilities say? Ten groups of equal numbers of images, from low to "
        "high probability; bars are Wilson's 95 % intervals, and on the dashed line what is said is what is seen. "
        "Axes end where the probabilities of a finding do.</p>"
    )
    if fitted:
        text += (
            '<p class="legend"><span class="first">● —</span> as given; '
            '<span class="second">○ - -</span> after Platt\'s calibration, fitted on the validation set.</p>'
        )
    figures = [one_class(index, scores) for index, scores in enumerate(report.scores.classes)]
    return f'{text}<div class="charts">{"".join(figures)}</div>'


def _curves(
    report: Report, index: int, curve: Callable[[np.ndarray, np.ndarray, str], charts.Curve]
) -> list[charts.Curve]:
    """The first predictions' and, if there are any, the second's."""
    curves = [curve(report.predictions.labels[:, index], report.predictions.probabilities[:, index], "first")]
    if report.other:
        curves.append(curve(report.other.labels[:, index], report.other.probabilities[:, index], "second"))
    return curves


def _other(report: Report, index: int, measure: str) -> str:
    """What the second predictions have."""
    if not report.other_scores:
        return ""
    scores = report.other_scores.classes[index]
    return f"; second {decimals(scores.auroc.auroc if measure == 'auroc' else scores.auprc)}"


def _grid(report: Report, one_class: Callable[[int, ClassScores], str]) -> str:
    """The charts of the classes that have a curve, and the names of the others."""
    figures = [one_class(index, scores) for index, scores in enumerate(report.scores.classes) if scores.defined]
    left_out = report.scores.undefined
    text = f"<p>None for {escape(', '.join(left_out))}: one kind of label only.</p>" if left_out else ""
    return f'{text}<div class="charts">{"".join(figures)}</div>'


def _legend(report: Report) -> str:
    if not report.other:
        return ""
    first, second = (escape(Path(one.source).name) for one in (report.predictions, report.other))
    return (
        f'<p class="legend"><span class="first">—</span> first: {first}; '
        f'<span class="second">- -</span> second: {second}</p>'
    )
