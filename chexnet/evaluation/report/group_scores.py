"""Scores of groups of images, and the differences between groups, with patients as clusters."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chexnet.evaluation.predictions import Predictions
from chexnet.evaluation.report.image_groups import Grouping
from chexnet.evaluation.report.validation_fit import WRITTEN_RULE, ValidationFit
from chexnet.metrics.calibration import brier, expected_calibration_error, reliability
from chexnet.metrics.clustered_means import ClusteredMean, clustered_mean, compare_means, effective_patients
from chexnet.metrics.delong import AUROCEstimate, compare_curves, estimate
from chexnet.metrics.differences import Difference, difference
from chexnet.metrics.placements import Placements, covariance, placements
from chexnet.metrics.proportions import holm

MIN_PATIENTS = 20
"""Effective patients with and without a finding that a group needs for a claim about a difference."""

RULE = (
    f"A group is small for a finding if it has fewer than {MIN_PATIENTS} effective patients with an image with the "
    "finding, or with one without it. Patients with unequal numbers of images count less: the effective number is the "
    "squared number of images over the sum of the squared numbers per patient. Numbers of a small group are shown, but "
    "it is left out of differences, tests and means."
)

MEASURES = ("auroc", "sensitivity", "specificity", "calibration")
"""Measures whose differences are tested; Holm's correction covers each of them by itself."""


@dataclass(frozen=True)
class GroupScores:
    """Scores of one finding in one group.

    Attributes:
        name: name of the group.
        images: number of images.
        positives: number of images with the finding.
        patients_with: number of patients with such an image.
        patients_without: number of patients with an image without the finding.
        effective_with: effective number of patients with such an image, see `effective_patients`.
        effective_without: the same for images without the finding.
        auroc: AUROC with its 95 % interval.
        sensitivity: proportion at the operating point; None without one.
        specificity: the same for images without the finding.
        calibration: mean of probability minus label; above 0 if the finding is overestimated.
        brier: mean squared error of the probabilities.
        ece: expected calibration error.
    """

    name: str
    images: int
    positives: int
    patients_with: int
    patients_without: int
    effective_with: float
    effective_without: float
    auroc: AUROCEstimate
    sensitivity: ClusteredMean | None
    specificity: ClusteredMean | None
    calibration: ClusteredMean
    brier: float
    ece: float

    @property
    def small(self) -> bool:
        """Return whether the group has too few patients for claims about the finding."""
        return min(self.effective_with, self.effective_without) < MIN_PATIENTS


@dataclass(frozen=True)
class GroupDifference:
    """A difference between two groups in one measure, with Holm's correction."""

    test: Difference
    adjusted: float


@dataclass(frozen=True)
class FindingInGroups:
    """Scores of one finding in all groups.

    Attributes:
        name: name of the finding.
        groups: scores of the K groups.
        overall: AUROC of the images of all groups together.
        differences: measure -> difference for each comparison; None where a group is small or the measure missing.
    """

    name: str
    groups: tuple[GroupScores, ...]
    overall: float
    differences: dict[str, tuple[GroupDifference | None, ...]]

    @property
    def small(self) -> list[str]:
        """Names of the groups that are small for this finding."""
        return [group.name for group in self.groups if group.small]


@dataclass(frozen=True)
class MeanDifference:
    """A difference of the mean AUROC over the findings for which neither side is small.

    Attributes:
        comparison: names of the two sides.
        findings: names of these findings.
        first: mean AUROC of the first side; NaN without findings.
        second: mean AUROC of the second side.
        difference: difference with Holm's correction over the comparisons.
    """

    comparison: tuple[str, str]
    findings: tuple[str, ...]
    first: float
    second: float
    difference: GroupDifference


@dataclass(frozen=True)
class GroupResults:
    """Results for one grouping.

    Attributes:
        grouping: the groups.
        images: number of images in each group.
        patients: number of patients in each group; a patient can be in several.
        shared_patients: number of patients with images in more than one group.
        comparisons: the pairs of sides that are compared: the two groups or, if there are more, each group and the
            rest of the grouped images.
        findings: results per finding.
        means: differences of the mean AUROC, one per comparison.
    """

    grouping: Grouping
    images: tuple[int, ...]
    patients: tuple[int, ...]
    shared_patients: int
    comparisons: tuple[tuple[str, str], ...]
    findings: tuple[FindingInGroups, ...]
    means: tuple[MeanDifference, ...]


def score_groups(predictions: Predictions, grouping: Grouping, fitted: ValidationFit | None) -> GroupResults:
    """Score each group, and compare the groups.

    Two groups are compared with each other; of more groups, each is compared with the rest. Both sides of a comparison
    may have images of one patient, whose contributions to the two sides are correlated; the variance of the
    difference includes that.

    Args:
        predictions: predictions of N images.
        grouping: groups of these images.
        fitted: results on a validation set, for the operating points; None without one.
    """
    scorer = _Scorer(predictions, grouping, fitted)
    k = len(grouping.groups)
    sides = [grouping.membership == index for index in range(k)]
    comparisons = [(0, 1)] if k == 2 else [(index, k + index) for index in range(k)]
    names = [*grouping.groups, *(f"not {name}" for name in grouping.groups)]
    if k > 2:
        sides += [(grouping.membership >= 0) & ~side for side in sides]
    found = [[scorer.score(column, side) for side in sides] for column in range(len(predictions.classes))]
    tables = {measure: _test(found, comparisons, measure) for measure in MEASURES}
    members = [scorer.patient[side] for side in sides[:k]]
    patients = [len(np.unique(ids)) for ids in members]
    return GroupResults(
        grouping=grouping,
        images=tuple(map(len, members)),
        patients=tuple(patients),
        shared_patients=_shared(members),
        comparisons=tuple((names[first], names[second]) for first, second in comparisons),
        findings=tuple(
            FindingInGroups(
                name=name,
                groups=tuple(
                    replace(side.scores, name=group) for side, group in zip(row[:k], grouping.groups, strict=True)
                ),
                overall=scorer.score(column, grouping.membership >= 0).curve.auroc,
                differences={measure: table[column] for measure, table in tables.items()},
            )
            for column, (name, row) in enumerate(zip(predictions.classes, found, strict=True))
        ),
        means=_mean_differences(predictions.classes, found, comparisons, names),
    )


def _shared(members: Sequence[np.ndarray]) -> int:
    """Count the patients in more than one group."""
    _, counts = np.unique(np.concatenate([np.unique(ids) for ids in members]), return_counts=True)
    return int(np.count_nonzero(counts > 1))


@dataclass(frozen=True)
class _Side:
    """One finding in one side of a comparison."""

    scores: GroupScores
    curve: Placements


class _Scorer:
    """Scores one finding in any set of the images."""

    def __init__(self, predictions: Predictions, grouping: Grouping, fitted: ValidationFit | None) -> None:
        self._predictions = predictions
        self._points = fitted.points[WRITTEN_RULE] if fitted else {}
        self.patient = np.unique(predictions.patients.clusters, return_inverse=True)[1].ravel()
        self._n_patients = int(self.patient.max()) + 1

    def score(self, column: int, side: np.ndarray) -> _Side:
        """Score the finding of a column in the images of `side`, bool [N]."""
        labels, probabilities = self._predictions.labels[side, column], self._predictions.probabilities[side, column]
        patient = self.patient[side]
        positive = labels == 1
        curve = placements(labels, probabilities, patient, self._n_patients)
        point = self._points.get(self._predictions.classes[column])
        called = probabilities >= point.test.threshold if point else None
        return _Side(
            GroupScores(
                name="",
                images=len(labels),
                positives=int(positive.sum()),
                patients_with=len(np.unique(patient[positive])),
                patients_without=len(np.unique(patient[~positive])),
                effective_with=effective_patients(patient[positive]),
                effective_without=effective_patients(patient[~positive]),
                auroc=estimate(curve),
                sensitivity=None if called is None else self._mean(called, positive, patient),
                specificity=None if called is None else self._mean(~called, ~positive, patient),
                calibration=clustered_mean(probabilities - labels, patient, self._n_patients),
                brier=brier(labels, probabilities) if len(labels) else math.nan,
                ece=expected_calibration_error(reliability(labels, probabilities)) if len(labels) else math.nan,
            ),
            curve,
        )

    def _mean(self, values: np.ndarray, chosen: np.ndarray, patient: np.ndarray) -> ClusteredMean:
        return clustered_mean(values[chosen], patient[chosen], self._n_patients)


def _test(
    found: Sequence[Sequence[_Side]], comparisons: Sequence[tuple[int, int]], measure: str
) -> list[tuple[GroupDifference | None, ...]]:
    """Test all comparisons of all findings in one measure, with Holm's correction over them."""
    tests = [
        [None if _small(row, pair) else _COMPARE[measure](row[pair[0]], row[pair[1]]) for pair in comparisons]
        for row in found
    ]
    p = np.array([[math.nan if test is None else test.p for test in row] for row in tests])
    adjusted = holm(p.ravel()).reshape(p.shape)
    return [
        tuple(
            None if test is None else GroupDifference(test, float(value))
            for test, value in zip(row, values, strict=True)
        )
        for row, values in zip(tests, adjusted, strict=True)
    ]


def _small(row: Sequence[_Side], pair: tuple[int, int]) -> bool:
    return any(row[index].scores.small for index in pair)


def _compare(measure: str) -> Callable[[_Side, _Side], Difference | None]:
    def compare(first: _Side, second: _Side) -> Difference | None:
        means = getattr(first.scores, measure), getattr(second.scores, measure)
        return None if None in means else compare_means(*means)

    return compare


_COMPARE: dict[str, Callable[[_Side, _Side], Difference | None]] = {
    "auroc": lambda first, second: compare_curves(first.curve, second.curve),
    **{measure: _compare(measure) for measure in MEASURES[1:]},
}


def _mean_differences(
    classes: Sequence[str],
    found: Sequence[Sequence[_Side]],
    comparisons: Sequence[tuple[int, int]],
    names: Sequence[str],
) -> tuple[MeanDifference, ...]:
    """Compare the mean AUROCs of the two sides of each comparison, from the covariance of all their AUROCs."""
    results = []
    for pair in comparisons:
        kept = [row for row, sides in enumerate(found) if not _small(sides, pair)]
        sides = [[found[row][index].curve for row in kept] for index in pair]
        means = [float(np.mean([curve.auroc for curve in side])) if kept else math.nan for side in sides]
        variance = math.nan
        if kept:
            weights = np.repeat([1, -1], len(kept)) / len(kept)
            variance = float(weights @ covariance([*sides[0], *sides[1]]) @ weights)
        results.append((pair, kept, means, difference(means[0] - means[1], variance)))
    adjusted = holm(np.array([test.p for *_, test in results]))
    return tuple(
        MeanDifference(
            comparison=(names[pair[0]], names[pair[1]]),
            findings=tuple(classes[row] for row in kept),
            first=means[0],
            second=means[1],
            difference=GroupDifference(test, float(p)),
        )
        for (pair, kept, means, test), p in zip(results, adjusted, strict=True)
    )
