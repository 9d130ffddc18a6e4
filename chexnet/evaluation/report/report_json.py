"""Convert a report to JSON; docs/report.md has the schema."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chexnet.evaluation.report.class_scores import SEED, ClassScores, Comparison, Scores
from chexnet.evaluation.report.group_json import groups_to_dict, number, numbers
from chexnet.evaluation.report.report_builder import Report
from chexnet.evaluation.report.validation_fit import CalibrationResult, ValidationFit
from chexnet.known_lists import split_of
from chexnet.metrics.bootstrap import REPLICATES
from chexnet.metrics.calibration import Bin
from chexnet.metrics.operating_points import RULES, ConfusionCounts
from chexnet.published import published_results

SCHEMA = 1
"""Version of the schema, raised when the meaning of a key changes."""

METHODS = {
    "auroc_ci": "95 %, DeLong's variance with patients as clusters (Obuchowski 1997), symmetric in the logit; "
    "Newcombe's method 5 where the data show no variance",
    "auroc_ci_images": "95 %, DeLong's variance, images treated as independent",
    "auroc_ci_bootstrap": f"95 %, percentiles of {REPLICATES:,} resamples of the patients, seed {SEED}",
    "mean.auroc_ci": f"95 %, percentiles of {REPLICATES:,} resamples of the patients, seed {SEED}; each resample gives "
    "the mean over the classes defined in it",
    "auprc": "average precision; an uninformative classifier reaches the prevalence",
    "reliability": "10 bins of equal numbers of images; ece is the mean error of the bins, weighted by images",
    "shares": "sensitivity, specificity, ppv and npv with Wilson 95 % intervals, images treated as independent",
    "comparison": "DeLong's paired test with patients as clusters, Holm's correction over the classes; the mean by "
    "resampling patients",
    "groups": "patients as clusters: DeLong's variance for AUROCs, Wilson's interval with the design effect (Rao and "
    "Scott 1992) for sensitivity and specificity, a ratio estimator for calibration; differences include the "
    "covariance of patients on both sides; Holm's correction covers findings and comparisons",
    "confusion": "AUROC of the column's probability between images with the row's finding but not the column's, "
    "and images with neither",
}


def report_to_dict(report: Report) -> dict[str, Any]:
    """Return all results of a report, ready for JSON; undefined values are None."""
    predictions, classes, fitted = report.predictions, report.predictions.classes, report.validation_fit
    return {
        "schema": SCHEMA,
        "source": predictions.origin,
        "images": len(predictions),
        "patients": len(predictions.patients.known),
        "unknown_patients": predictions.patients.unknown,
        **_scores(report.scores, fitted),
        "operating_points": _fitted_on(report, {name: rule.description for name, rule in RULES.items()}),
        "calibration": _fitted_on(report, {"temperature": fitted.temperature} if fitted else {}),
        "together": _by_pair(report.cooccurrence, classes),
        "confusion": _by_pair(report.cross_finding_auroc, classes),
        "other": report.other_scores and report.other and {
            "source": report.other.origin, **_scores(report.other_scores, None)
        },
        "comparison": report.comparison and _comparison(report.comparison, classes),
        "groups": [groups_to_dict(results) for results in report.groups],
        "published": [
            {
                "name": system.name,
                "split": system.split,
                "source": system.source,
                "epoch": system.selection,
                "mean": round(system.mean, 6),
                "mean_half_width": system.half_width and round(system.half_width, 6),
                "classes": dict(zip(classes, system.auroc, strict=False)),
            }
            for system in published_results(classes, split_of(predictions.names))
        ],
        "audit": list(report.audit),
        "methods": METHODS,
        "run": dict(report.run),
        "versions": dict(report.versions),
    }  # fmt: skip


def _scores(scores: Scores, fitted: ValidationFit | None) -> dict[str, Any]:
    mean = scores.mean
    return {
        "classes": {
            own.name: {**_class(own), **(_fitted(fitted, own.name) if fitted else {})} for own in scores.classes
        },
        "mean": {
            "auroc": number(mean.auroc),
            "auroc_ci": numbers((mean.low, mean.high)),
            "auprc": number(scores.auprc),
            "classes": len(scores.classes) - len(scores.undefined),
        },
        "undefined": scores.undefined,
    }


def _class(scores: ClassScores) -> dict[str, Any]:
    return {
        "positives": scores.positives,
        "negatives": scores.negatives,
        "prevalence": scores.prevalence,
        "auroc": number(scores.auroc.auroc),
        "auroc_ci": numbers((scores.auroc.low, scores.auroc.high)),
        "auroc_ci_images": numbers((scores.images.low, scores.images.high)),
        "auroc_ci_bootstrap": numbers(scores.bootstrap),
        "auprc": number(scores.auprc),
        "brier": scores.brier,
        "ece": scores.ece,
        "reliability": _bins(scores.bins),
    }


def _fitted(fitted: ValidationFit, name: str) -> dict[str, Any]:
    """Return the operating points and the calibration of a class."""
    platt, parameters = fitted.by_platt[name], fitted.platt[name]
    return {
        "operating_points": {
            rule: point and {**_confusion(point.test), "validation": _confusion(point.validation)}
            for rule, points in fitted.points.items()
            for point in [points[name]]
        },
        "calibrated": {
            "temperature": _calibrated(fitted.by_temperature[name]),
            "platt": platt and parameters and {"slope": parameters[0], "offset": parameters[1], **_calibrated(platt)},
        },
    }


def _calibrated(result: CalibrationResult) -> dict[str, Any]:
    return {"ece": result.ece, "brier": result.brier, "reliability": _bins(result.bins)}


def _confusion(counts: ConfusionCounts) -> dict[str, Any]:
    values: dict[str, Any] = {"threshold": counts.threshold}
    for name in ("sensitivity", "specificity", "ppv", "npv"):
        proportion = getattr(counts, name)
        values[name] = number(proportion.value)
        values[f"{name}_ci"] = numbers(proportion.interval)
    return values | {
        "f1": number(counts.f1),
        "true_positives": counts.true_positives,
        "false_positives": counts.false_positives,
        "false_negatives": counts.false_negatives,
        "true_negatives": counts.true_negatives,
    }


def _fitted_on(report: Report, values: dict[str, Any]) -> dict[str, Any]:
    """Return the origin of the validation set with what was fitted on it, or the reason why there is none."""
    fitted = report.validation_fit
    if fitted is None:
        return {"absent": report.thresholds[1]}
    return {"chosen_on": fitted.origin, "images": fitted.images, "left_out": fitted.left_out, **values}


def _comparison(comparison: Comparison, classes: Sequence[str]) -> dict[str, Any]:
    gap = comparison.mean
    return {
        "mean": {"difference": number(gap.difference), "difference_ci": numbers((gap.low, gap.high))},
        "classes": {
            name: {
                "difference": number(test.difference),
                "difference_ci": numbers((test.low, test.high)),
                "p": number(test.p),
                "p_holm": number(adjusted),
            }
            for name, test, adjusted in zip(classes, comparison.classes, comparison.adjusted.tolist(), strict=True)
        },
    }


def _bins(bins: Sequence[Bin]) -> list[dict[str, Any]]:
    return [{"images": group.images, "mean": group.mean, "observed": group.observed} for group in bins]


def _by_pair(values: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    rows = [dict(zip(classes, numbers(row), strict=True)) for row in values.tolist()]
    return dict(zip(classes, rows, strict=True))
