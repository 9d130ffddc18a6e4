"""A report as JSON; docs/report.md has its schema."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chexnet.labels import published
from chexnet.metrics.bootstrap import REPLICATES
from chexnet.metrics.calibration import Bin
from chexnet.metrics.operating import RULES, Decisions
from chexnet.report.contents import Report
from chexnet.report.scores import SEED, ClassScores, Comparison, Scores
from chexnet.report.transfer import Transfer

SCHEMA = 1
"""To be raised when the meaning of a key changes."""

METHODS = {
    "auroc_ci": "95 %, DeLong's variance with patients as clusters (Obuchowski 1997), symmetric in the logit; "
    "Newcombe's method 5 where the data show no variance",
    "auroc_ci_images": "95 %, DeLong's variance, images as if all of different patients",
    "auroc_ci_bootstrap": f"95 %, percentiles of {REPLICATES:,} resamples of the patients, seed {SEED}",
    "mean.auroc_ci": f"95 %, percentiles of {REPLICATES:,} resamples of the patients, seed {SEED}, each the mean over "
    "the classes that are defined in it",
    "auprc": "average precision; a classifier that knows nothing has the prevalence",
    "reliability": "10 bins of equal numbers of images; ece is the error of their means, weighted by images",
    "shares": "sensitivity, specificity, ppv and npv with Wilson's 95 % intervals, images as if of different patients",
    "comparison": "DeLong's paired test with patients as clusters, Holm over the classes; the mean by resampling "
    "patients",
    "confusion": "AUROC of the column's probability between images with the row's finding and without the column's, "
    "and images with neither",
}


def of_report(report: Report) -> dict[str, Any]:
    """Everything that a report says; what is undefined is None."""
    classes = report.predictions.classes
    return {
        "schema": SCHEMA,
        "source": report.predictions.source,
        "images": len(report.predictions),
        "patients": len(report.predictions.patients.known),
        "unknown_patients": report.predictions.patients.unknown,
        **_scores(report.scores, report.transfer),
        "operating_points": _chosen_on(report, {name: rule.words for name, rule in RULES.items()}),
        "calibration": _calibration(report),
        "together": _by_pair(report.together, classes),
        "confusion": _by_pair(report.confusion, classes),
        "other": report.other_scores and report.other and {
            "source": report.other.source, **_scores(report.other_scores, None)
        },
        "comparison": report.comparison and _comparison(report.comparison, classes),
        "published": [
            {
                "name": one.name,
                "split": one.split,
                "source": one.source,
                "mean": round(one.mean, 6),
                "classes": dict(zip(classes, one.auroc, strict=True)),
            }
            for one in published(classes)
        ],
        "audit": list(report.audit),
        "methods": METHODS,
        "run": dict(report.run),
        "versions": dict(report.versions),
    }  # fmt: skip


def _scores(scores: Scores, fitted: Transfer | None) -> dict[str, Any]:
    mean = scores.mean
    return {
        "classes": {one.name: _class(one, fitted) for one in scores.classes},
        "mean": {
            "auroc": number(mean.auroc),
            "auroc_ci": numbers((mean.low, mean.high)),
            "auprc": number(scores.auprc),
            "classes": len(scores.classes) - len(scores.undefined),
        },
        "undefined": scores.undefined,
    }


def _class(one: ClassScores, fitted: Transfer | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "positives": one.positives,
        "negatives": one.negatives,
        "prevalence": one.prevalence,
        "auroc": number(one.auroc.auroc),
        "auroc_ci": numbers((one.auroc.low, one.auroc.high)),
        "auroc_ci_images": numbers((one.images.low, one.images.high)),
        "auroc_ci_bootstrap": numbers(one.bootstrap),
        "auprc": number(one.auprc),
        "brier": one.brier,
        "ece": one.ece,
        "reliability": _bins(one.bins),
    }
    if fitted:
        points = {rule: of_class[one.name] for rule, of_class in fitted.points.items()}
        found["operating_points"] = {
            rule: point and {**_decisions(point.applied), "validation": _decisions(point.chosen)}
            for rule, point in points.items()
        }
        after, platt = fitted.by_temperature[one.name], fitted.by_platt[one.name]
        parameters = fitted.platt[one.name]
        found["calibrated"] = {
            "temperature": {"ece": after.ece, "brier": after.brier, "reliability": _bins(after.bins)},
            "platt": platt
            and parameters
            and {
                "slope": parameters[0],
                "offset": parameters[1],
                "ece": platt.ece,
                "brier": platt.brier,
                "reliability": _bins(platt.bins),
            },
        }
    return found


def _decisions(one: Decisions) -> dict[str, Any]:
    shares: dict[str, Any] = {"threshold": one.threshold}
    for name in ("sensitivity", "specificity", "ppv", "npv"):
        share = getattr(one, name)
        shares[name] = number(share.value)
        shares[f"{name}_ci"] = numbers(share.interval)
    return shares | {
        "f1": number(one.f1),
        "true_positives": one.true_positives,
        "false_positives": one.false_positives,
        "false_negatives": one.false_negatives,
        "true_negatives": one.true_negatives,
    }


def _chosen_on(report: Report, what: dict[str, Any]) -> dict[str, Any]:
    """Where the validation set is from, or why there is none."""
    fitted = report.transfer
    if fitted is None:
        return {"absent": report.thresholds[1]}
    return {"chosen_on": fitted.source, "images": fitted.images, "left_out": fitted.left_out, **what}


def _calibration(report: Report) -> dict[str, Any]:
    return _chosen_on(report, {"temperature": report.transfer.temperature} if report.transfer else {})


def _comparison(comparison: Comparison, classes: Sequence[str]) -> dict[str, Any]:
    gap = comparison.mean
    return {
        "mean": {"difference": number(gap.difference), "difference_ci": numbers((gap.low, gap.high))},
        "classes": {
            name: {
                "difference": number(one.difference),
                "difference_ci": numbers((one.low, one.high)),
                "p": number(one.p),
                "p_holm": number(adjusted),
            }
            for name, one, adjusted in zip(classes, comparison.classes, comparison.adjusted.tolist(), strict=True)
        },
    }


def _bins(bins: Sequence[Bin]) -> list[dict[str, Any]]:
    return [{"images": one.images, "mean": one.mean, "observed": one.observed} for one in bins]


def _by_pair(values: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {
        row: dict(zip(classes, map(number, of_row), strict=True))
        for row, of_row in zip(classes, values.tolist(), strict=True)
    }


def number(value: float) -> float | None:
    """None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value


def numbers(interval: tuple[float, float]) -> list[float | None]:
    """The ends of an interval, likewise."""
    return [number(end) for end in interval]
