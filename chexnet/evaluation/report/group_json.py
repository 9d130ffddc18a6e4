"""Convert the results of groups of images to JSON; docs/report.md has the schema."""

import math
from collections.abc import Iterable
from typing import Any

from chexnet.evaluation.report.group_scores import (
    RULE,
    FindingInGroups,
    GroupDifference,
    GroupResults,
    GroupScores,
    MeanDifference,
)
from chexnet.metrics.clustered_means import ClusteredMean


def number(value: float) -> float | None:
    """Replace NaN, which JSON cannot express, by None."""
    return None if math.isnan(value) else value


def numbers(values: Iterable[float]) -> list[float | None]:
    """Replace NaN by None."""
    return [number(value) for value in values]


def groups_to_dict(results: GroupResults) -> dict[str, Any]:
    """Return the results of a grouping, ready for JSON; undefined values are None."""
    grouping = results.grouping
    counts = zip(grouping.groups, results.images, results.patients, strict=True)
    return {
        "name": grouping.name,
        "source": grouping.source,
        "groups": {name: {"images": images, "patients": patients} for name, images, patients in counts},
        "shared_patients": results.shared_patients,
        "left_out": list(grouping.left_out),
        "rule": RULE,
        "mean_differences": [_mean_difference(mean) for mean in results.means],
        "classes": {finding.name: _finding(finding, results) for finding in results.findings},
    }


def _finding(finding: FindingInGroups, results: GroupResults) -> dict[str, Any]:
    return {
        "auroc": number(finding.overall),
        "groups": {group.name: _group(group) for group in finding.groups},
        "small": finding.small,
        "differences": [
            {
                "first": first,
                "second": second,
                **{
                    measure: tests[index] and _difference(tests[index])
                    for measure, tests in finding.differences.items()
                },
            }
            for index, (first, second) in enumerate(results.comparisons)
        ],
    }


def _group(group: GroupScores) -> dict[str, Any]:
    return {
        "images": group.images,
        "positives": group.positives,
        "patients_with": group.patients_with,
        "patients_without": group.patients_without,
        "effective_with": group.effective_with,
        "effective_without": group.effective_without,
        "small": group.small,
        "auroc": number(group.auroc.auroc),
        "auroc_ci": numbers((group.auroc.low, group.auroc.high)),
        **_proportion("sensitivity", group.sensitivity),
        **_proportion("specificity", group.specificity),
        "calibration": number(group.calibration.value),
        "calibration_ci": numbers(group.calibration.interval),
        "brier": number(group.brier),
        "ece": number(group.ece),
    }


def _proportion(name: str, proportion: ClusteredMean | None) -> dict[str, Any]:
    if proportion is None:
        return {}
    return {name: number(proportion.value), f"{name}_ci": numbers(proportion.wilson)}


def _difference(found: GroupDifference | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "difference": number(found.test.difference),
        "difference_ci": numbers((found.test.low, found.test.high)),
        "p": number(found.test.p),
        "p_holm": number(found.adjusted),
    }


def _mean_difference(mean: MeanDifference) -> dict[str, Any]:
    return {
        "first": mean.comparison[0],
        "second": mean.comparison[1],
        "first_auroc": number(mean.first),
        "second_auroc": number(mean.second),
        **(_difference(mean.difference) or {}),
        "findings": list(mean.findings),
    }
