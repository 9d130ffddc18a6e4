"""Write a report to a folder and summarize it in a few lines."""

import json
import math
import os
from collections.abc import Iterable

from chexnet import files
from chexnet.evaluation.report.group_scores import GroupResults
from chexnet.evaluation.report.render import render_html
from chexnet.evaluation.report.report_builder import Report
from chexnet.evaluation.report.report_json import report_to_dict

FILES = ("metrics.json", "predictions.csv", "report.html", "thresholds.json")
"""Names of the files in the folder of a report."""


def check_folder(
    folder: str | os.PathLike[str], protected: Iterable[str | os.PathLike[str]], others: Iterable[str] = ()
) -> None:
    """Apply `chexnet.files.check_folder` to a report."""
    files.check_folder(folder, FILES, protected, others)


def write_report(report: Report, folder: str | os.PathLike[str]) -> None:
    """Write `metrics.json`, `predictions.csv`, `report.html` and, if there are thresholds, `thresholds.json`.

    Raises:
        InputError: see `chexnet.files.atomic_directory`.
    """
    texts = {
        "metrics.json": json.dumps(report_to_dict(report), indent=2, allow_nan=False) + "\n",
        "predictions.csv": report.predictions.to_csv(),
        "report.html": render_html(report),
    }
    if report.thresholds[0]:
        texts["thresholds.json"] = report.thresholds[0]
    with files.atomic_directory(folder, FILES) as new:
        for name, text in texts.items():
            files.write_text(new / name, text)


def format_report(report: Report, folder: str | os.PathLike[str]) -> str:
    """Summarize a report: mean AUROC, undefined classes, comparison, audit, and the path of the page."""
    mean = report.scores.mean
    classes = report.predictions.classes
    defined = len(classes) - len(report.scores.undefined)
    lines = [f"mean AUROC {mean.auroc:.4f} ({_interval(mean.low, mean.high)}) over {defined} of {len(classes)} classes"]
    if report.scores.undefined:
        lines.append(f"no AUROC, only positives or only negatives: {', '.join(report.scores.undefined)}")
    if report.comparison:
        gap = report.comparison.mean
        lines.append(
            f"first minus second, mean AUROC: {gap.difference:+.4f} ({_interval(gap.low, gap.high, signed='+')})"
        )
        for name, test, p in zip(classes, report.comparison.classes, report.comparison.adjusted, strict=True):
            if p < 0.05:
                lines.append(f"  {name}: {test.difference:+.4f}, p {p:.2g} after Holm's correction")
    lines += [line for results in report.groups for line in _group_lines(results)]
    lines += [f"note: {sentence}" for sentence in report.audit]
    if not report.thresholds[0]:
        lines.append(f"no thresholds.json: {report.thresholds[1]}")
    lines.append(f"=> report: {os.path.join(folder, 'report.html')}")
    return "\n".join(lines)


def _group_lines(results: GroupResults) -> list[str]:
    """Summarize a grouping: differences of the mean AUROC, and the findings with a difference."""
    name = results.grouping.name
    lines = [f"{name}: {sentence}" for sentence in results.grouping.left_out]
    for index, mean in enumerate(results.means):
        first, second = mean.comparison
        if not mean.findings:
            lines.append(f"{name}: {first} minus {second}: no finding with enough patients on both sides")
            continue
        test = mean.difference.test
        lines.append(
            f"{name}: {first} {mean.first:.4f} minus {second} {mean.second:.4f}, mean AUROC over {len(mean.findings)} "
            f"findings: {test.difference:+.4f} ({_interval(test.low, test.high, signed='+')})"
        )
        for finding in results.findings:
            found = finding.differences["auroc"][index]
            if found and found.adjusted < 0.05:
                lines.append(
                    f"  {finding.name}: {found.test.difference:+.4f}, p {found.adjusted:.2g} after Holm's correction"
                )
    small = [finding.name for finding in results.findings if finding.small]
    if small:
        lines.append(f"{name}: small groups, without claims, for {', '.join(small)}")
    return lines


def _interval(low: float, high: float, signed: str = "") -> str:
    return "no interval" if math.isnan(low) else f"95 % interval {low:{signed}.4f} to {high:{signed}.4f}"
