"""The AUROC's sampling error: DeLong's variance, its interval, and the paired test of two predictions.

The variance is that of DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, from placements that sorting gives in
O(n log n), as in Sun and Xu, IEEE Signal Process. Lett. 21, 2014. Where a patient has several images these are not
independent; then their placements are summed first (Obuchowski, Biometrics 53, 1997), which is DeLong's variance
exactly where each has one.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from chexnet.metrics.proportions import Z_95
from chexnet.metrics.ranking import auroc


@dataclass(frozen=True)
class Estimate:
    """An AUROC and its 95 % interval; NaN where there is one kind of label only.

    Attributes:
        auroc: 0..1.
        low: of the interval, 0..1.
        high: likewise.
    """

    auroc: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Two AUROCs on the same images.

    Attributes:
        difference: the first minus the second, -1..1.
        low: of the 95 % interval.
        high: likewise.
        p: two-sided, of no difference. NaN where the images cannot tell: one kind of label only, fewer than two
            patients of a kind, or two different AUROCs without any variance.
    """

    difference: float
    low: float
    high: float
    p: float


def estimate(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray | None = None) -> Estimate:
    """The AUROC with its 95 % interval.

    The interval is symmetric in the logit of the AUROC, so that it stays within 0..1 and keeps its coverage at high
    AUROCs (Pepe, The Statistical Evaluation of Medical Tests, 2003, 5.2.4). The data show no variance where all
    positives outscore all negatives, or have one patient of a kind only; there it is Newcombe's, Stat. Med. 25, 2006,
    part 2, method 5, which needs nothing but the AUROC and the numbers of patients.

    Args:
        labels: [N], 0 or 1.
        scores: [N], finite; any monotone scale.
        patients: [N], whose image it is, in any values; None where each image has a patient of its own.
    """
    aurocs, covariance, (positives, negatives) = _covariance(labels, scores[None], patients)
    area, variance = float(aurocs[0]), float(covariance[0, 0])
    if math.isnan(area):
        return Estimate(area, math.nan, math.nan)
    if not variance > 0 or area in (0, 1):
        low = _newcombe_low(area, positives, negatives)
        return Estimate(area, low, 1 - _newcombe_low(1 - area, positives, negatives))
    reach = Z_95 * math.sqrt(variance) / (area * (1 - area))
    odds = area / (1 - area)
    return Estimate(area, odds / (odds + math.exp(reach)), odds / (odds + math.exp(-reach)))


def difference(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, patients: np.ndarray | None = None
) -> Difference:
    """DeLong's paired test: do two predictions of the same images have the same AUROC?

    Args:
        labels: [N], 0 or 1.
        first: scores [N], finite.
        second: likewise; its scale may be another one.
        patients: as in `estimate`.
    """
    aurocs, covariance, _ = _covariance(labels, np.stack([first, second]), patients)
    value = float(aurocs[0] - aurocs[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if math.isnan(variance) or (variance <= _ROUNDING and abs(value) > _ROUNDING):
        return Difference(value, math.nan, math.nan, math.nan)
    if variance <= _ROUNDING:
        return Difference(0.0, 0.0, 0.0, 1.0)
    error = math.sqrt(variance)
    reach = Z_95 * error
    return Difference(value, max(-1.0, value - reach), min(1.0, value + reach), float(2 * ndtr(-abs(value) / error)))


_ROUNDING = 1e-14
"""What is left of variances that cancel."""


def _covariance(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """AUROCs [K] of scores [K, N], their covariance [K, K], and how many patients have a positive, a negative.

    The AUROCs are NaN where there is one kind of label only, the covariance where one patient has all of a kind.
    """
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return np.full(len(scores), np.nan), np.full((len(scores),) * 2, np.nan), (0, 0)
    # The share of negatives that a positive outscores, and of positives that outscore a negative; ties are halves.
    over = np.stack([_outscored(row[positive], row[~positive]) for row in scores])  # [K, m]
    under = 1 - np.stack([_outscored(row[~positive], row[positive]) for row in scores])  # [K, n]
    aurocs = np.array([auroc(labels, row) for row in scores])  # the mean of either, exactly
    patient = np.arange(len(labels)) if patients is None else np.unique(patients, return_inverse=True)[1].ravel()
    of_positives = _sums(over - aurocs[:, None], patient[positive], len(labels))  # [K, P]
    of_negatives = _sums(under - aurocs[:, None], patient[~positive], len(labels))
    counts = [int(np.count_nonzero(np.bincount(which))) for which in (patient[positive], patient[~positive], patient)]
    if min(counts) < 2:
        return aurocs, np.full((len(scores),) * 2, np.nan), (counts[0], counts[1])
    by_positives, by_negatives, by_all = (count / (count - 1) for count in counts)
    cross = _products(of_positives, of_negatives) / (m * n)
    covariance = (
        by_positives * _products(of_positives, of_positives) / m**2
        + by_negatives * _products(of_negatives, of_negatives) / n**2
        + by_all * (cross + cross.T)
    )
    return aurocs, covariance, (counts[0], counts[1])


def _outscored(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each score, the share of the others that are lower, ties half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / (2 * len(others))


def _sums(values: np.ndarray, patient: np.ndarray, length: int) -> np.ndarray:
    """Values [K, M] summed by patient, [K, length]."""
    return np.stack([np.bincount(patient, row, minlength=length) for row in values])


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[K, P] and [K, P] -> [K, K]; not by `@`, whose threads cost more than these few sums."""
    return np.einsum("ip,jp->ij", a, b)


def _newcombe_low(area: float, positives: int, negatives: int) -> float:
    """The lower end: where the area found lies 1.96 standard errors above, the error taken there."""
    if area == 0:
        return 0.0
    others = (positives + negatives) / 2 - 1

    def beyond(value: float) -> float:
        spread = 1 + others * ((1 - value) / (2 - value) + value / (1 + value))
        variance = value * (1 - value) * spread / (positives * negatives)
        return (area - value) ** 2 - Z_95**2 * variance

    return float(brentq(beyond, 0, area * (1 - 1e-9)))
