"""The tables of a report's page."""

import math
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from chexnet import labels
from chexnet.metrics.bootstrap import REPLICATES
from chexnet.metrics.operating import RULES
from chexnet.report.contents import Report
from chexnet.report.markup import NONE, Head, decimals, facts, interval, share, signed, table
from chexnet.report.scores import ClassScores


def published(report: Report) -> str:
    """This run beside the published systems, grouped by the images that they were scored on."""
    systems = labels.published(report.predictions.classes)
    groups = [(split, list(of_split)) for split, of_split in groupby(systems, key=lambda one: one.split)]
    source = escape(Path(report.predictions.source).name)
    own = ["positives", "prevalence", "AUROC", "95 % interval", "bootstrap interval", "AUPRC"]
    heads = [
        [Head(""), Head(f"here: {source}", len(own), "own")]
        + [Head(f"split: {escape(split)}", len(of_split)) for split, of_split in groups],
        [Head("finding"), *(Head(name, style="own") for name in own), *(Head(one.name) for one in systems)],
    ]
    rows = [
        [escape(one.name), *_own(one), *(f"{system.auroc[index]:.3f}" for system in systems)]
        for index, one in enumerate(report.scores.classes)
    ]
    mean = report.scores.mean
    foot = ["mean", "", "", decimals(mean.auroc), "", interval(mean.low, mean.high), decimals(report.scores.auprc)]
    foot += [f"{system.mean:.3f}" for system in systems]
    beside = (
        "<strong>Only columns of one split compare.</strong> Another split has other patients and another share of "
        "hard cases; whether the images here are those of a split is for the reader to know. Published columns have no "
        "intervals. "
    )
    text = (
        f"<p>{beside if systems else ''}The 95 % interval is by DeLong's variance with patients as clusters, "
        f"the bootstrap's by {REPLICATES:,} resamples of the patients. The mean is over the findings that have an "
        "AUROC.</p>"
    )
    caption = "AUROC of each finding, here and as published." if systems else "AUROC of each finding."
    return text + table("t-auroc", caption, heads, rows, foot)


def _own(one: ClassScores) -> list[str]:
    return [
        f"{one.positives:,}",
        f"{one.prevalence:.4f}",
        decimals(one.auroc.auroc),
        interval(one.auroc.low, one.auroc.high),
        interval(*one.bootstrap),
        decimals(one.auprc),
    ]


def comparison(report: Report) -> str:
    """DeLong's tests; empty if there is nothing to compare with."""
    if not (report.comparison and report.other and report.other_scores):
        return ""
    first, second = (escape(one.source) for one in (report.predictions, report.other))
    scores = zip(report.scores.classes, report.other_scores.classes, strict=True)
    rows = [
        [
            escape(own.name),
            *(f"{decimals(auroc.auroc)} ({interval(auroc.low, auroc.high)})" for auroc in (own.auroc, theirs.auroc)),
            signed(one.difference),
            interval(one.low, one.high, 4),
            _p(one.p),
            _p(adjusted),
        ]
        for (own, theirs), one, adjusted in zip(
            scores, report.comparison.classes, report.comparison.adjusted, strict=True
        )
    ]
    means = (report.scores.mean, report.other_scores.mean)
    gap = report.comparison.mean
    foot = [
        "mean",
        *(f"{decimals(mean.auroc)} ({interval(mean.low, mean.high)})" for mean in means),
        signed(gap.difference),
        interval(gap.low, gap.high, 4),
    ]
    text = (
        f"<p>First: {first}. Second: {second}. DeLong's paired test with patients as clusters; Holm's correction is "
        f"over the {np.count_nonzero(~np.isnan(report.comparison.adjusted))} findings that can be tested. The mean and "
        "its difference have intervals by resampling patients, and no test.</p>"
    )
    titles = ("finding", "AUROC, first", "AUROC, second", "difference", "95 % interval", "p", "p after Holm")
    caption = "AUROCs on the same images, with 95 % intervals, and their difference, first minus second."
    return text + table("t-compare", caption, [list(map(Head, titles))], rows, [*foot, "", ""])


def operating_points(report: Report) -> str:
    """A table for each rule, or why there is none."""
    fitted = report.transfer
    if not fitted:
        return f"<p>There are none: {escape(report.thresholds[1])}.</p>"
    parts = [
        f"<p>Thresholds were chosen on {fitted.images:,} other images ({escape(fitted.source)}) and applied to these. "
        "A finding is called present from the threshold on. PPV and NPV hold where findings are as frequent as here. "
        "Intervals are Wilson's, 95 %, images as if of different patients.</p>"
    ]
    if fitted.left_out:
        parts.append(
            f"<p>None for {escape(', '.join(fitted.left_out))}: one kind of label only among the validation images.</p>"
        )
    names = ("sensitivity", "specificity", "ppv", "npv")
    titles = ("threshold", "sensitivity", "specificity", "PPV", "NPV", "F1")
    for rule, points in fitted.points.items():
        rows = []
        for name, point in points.items():
            if point:
                shares = [getattr(point.applied, which) for which in names]
                cells = [share(one.value, one.interval) for one in shares]
                rows.append([escape(name), f"{point.applied.threshold:.4f}", *cells, decimals(point.applied.f1)])
        caption = f"Chosen on the validation set: {escape(RULES[rule].words)}."
        parts.append(table(f"t-{rule}", caption, [[Head("finding"), *map(Head, titles)]], rows))
    return "".join(parts)


def calibration(report: Report) -> str:
    """Errors before and after."""
    fitted = report.transfer
    titles = ["ECE", "Brier"]
    if fitted:
        titles += ["ECE, temperature", "Brier, temperature", "ECE, Platt", "Brier, Platt", "slope", "offset"]
    rows = []
    for one in report.scores.classes:
        cells = [f"{one.ece:.4f}", f"{one.brier:.4f}"]
        if fitted:
            for after in (fitted.by_temperature[one.name], fitted.by_platt[one.name]):
                cells += [f"{after.ece:.4f}", f"{after.brier:.4f}"] if after else [NONE, NONE]
            slope, offset = fitted.platt[one.name] or (math.nan, math.nan)
            cells += [decimals(slope), decimals(offset)]
        rows.append([escape(one.name), *cells])
    text = (
        f"<p>On the validation set a temperature of {fitted.temperature:.3f} was found for all findings together, and "
        "a slope and an offset of the logit for each (Platt). Neither changes which of two images is given more.</p>"
        if fitted
        else f"<p>Nothing was fitted: {escape(report.thresholds[1])}.</p>"
    )
    caption = "Expected calibration error (ECE, 10 groups of equal numbers of images) and Brier score; 0 is best."
    return text + table("t-calibration", caption, [[Head("finding"), *map(Head, titles)]], rows)


def together(report: Report) -> str:
    """Counts of pairs."""
    rows = [
        [escape(name), *(f"{count:,}" for count in row)]
        for name, row in zip(report.predictions.classes, report.together.tolist(), strict=True)
    ]
    caption = "Images that have both findings; in the diagonal, those that have the finding at all."
    heads = [[Head("finding"), *(Head(_short(name)) for name in report.predictions.classes)]]
    return table("t-together", caption, heads, rows, style="matrix")


def confusion(report: Report) -> str:
    """What is taken for what."""
    rows = [
        [escape(name), *(f"<b>{value:.2f}</b>" if value >= 0.8 else decimals(value, 2) for value in row)]
        for name, row in zip(report.predictions.classes, report.confusion.tolist(), strict=True)
    ]
    caption = (
        "What is taken for what: how far a finding that is there (row) raises the probability of one that is not "
        "(column). AUROC between images with the row's finding but not the column's, and images with neither: 0.50 "
        "not at all, 1.00 always; from 0.80 on bold."
    )
    heads = [[Head("present"), *(Head(_short(name)) for name in report.predictions.classes)]]
    return table("t-confusion", caption, heads, rows, style="matrix")


def members(report: Report) -> str:
    """Each checkpoint alone, and how far they are apart; empty if there is one."""
    found: list[dict[str, Any]] = report.run.get("members", [])
    if not found:
        return ""
    spread = report.run["spread"]
    heads = [[Head("finding"), *(Head(f"checkpoint {place + 1}") for place in range(len(found))), Head("SD")]]
    rows = [
        [
            escape(name),
            *(_known(one["classes"][name]["auroc"]) for one in found),
            _known(spread["classes"][name]["auroc_sd"]),
        ]
        for name in report.predictions.classes
    ]
    foot = ["mean", *(_known(one["mean"]["auroc"]) for one in found), _known(spread["mean"]["auroc_sd"])]
    listed = "".join(f"<li>checkpoint {place + 1}: {escape(one['ckpt'])}</li>" for place, one in enumerate(found))
    caption = "AUROC of each checkpoint alone, and their standard deviation (n - 1)."
    return f"<ul>{listed}</ul>" + table("t-members", caption, heads, rows, foot)


def run(report: Report) -> str:
    """Configuration, checksums, versions."""
    told = dict(report.run)
    config = told.pop("config", {})
    rows = [("predictions", report.predictions.source)]
    rows += [(name, told[name]) for name in ("engine", "preprocessing", "seconds", "paddle") if name in told]
    rows += [(f"SHA-256 of {name}", digest) for name, digest in told.get("sha256", {}).items()]
    rows += [(f"SHA-256 of {one['ckpt']}", one["sha256"]) for one in told.get("members", [])]
    rows += list(report.versions.items())
    parts = [facts(rows, "t-run", "What computed it, from what.")]
    if config:
        parts.append(facts(config.items(), "t-config", "Configuration of the run."))
    return "".join(parts)


def _short(name: str) -> str:
    return escape(name.replace("_", " "))


def _known(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _p(value: float) -> str:
    return NONE if math.isnan(value) else "&lt; 0.0001" if value < 0.0001 else f"{value:.4f}"
