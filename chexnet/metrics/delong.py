"""Confidence interval of the AUROC and paired test of two models, both from DeLong's variance.

The variance is that of DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988. Sorting gives the placements in
O(n log n), as in Sun and Xu, IEEE Signal Process. Lett. 21, 2014. The images of one patient are not independent, so
their placements are summed first (Obuchowski, Biometrics 53, 1997). With one image per patient, this is exactly
DeLong's variance. SciPy and scikit-learn implement none of this.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from chexnet.metrics.auroc import auroc

Z_95 = float(ndtri(0.975))
"""Half-width of a 95 % interval, in standard errors."""

_ROUNDING = 1e-14
"""Variances up to this value are rounding errors of 0."""


@dataclass(frozen=True)
class AUROCEstimate:
    """An AUROC with its 95 % interval; NaN if there are only positives or only negatives.

    Attributes:
        auroc: the AUROC, 0..1.
        low: lower end of the interval, 0..1.
        high: upper end of the interval, 0..1.
    """

    auroc: float
    low: float
    high: float


@dataclass(frozen=True)
class AUROCDifference:
    """The difference between two AUROCs on the same images.

    Attributes:
        difference: first AUROC minus second, -1..1.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        p: two-sided p-value of no difference. NaN if it cannot be computed: fewer than two patients with a positive
            or with a negative, or two different AUROCs without any variance.
    """

    difference: float
    low: float
    high: float
    p: float


def estimate_auroc(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray | None = None) -> AUROCEstimate:
    """Estimate the AUROC and its 95 % interval.

    The interval is symmetric in the logit of the AUROC, so it stays within 0..1 and keeps its coverage at high AUROCs
    (Pepe, The Statistical Evaluation of Medical Tests, 2003, 5.2.4). The variance cannot be estimated if all positives
    outscore all negatives, or if one patient has all positives or all negatives. The interval is then Newcombe's
    (Stat. Med. 25, 2006, part 2, method 5), which needs only the AUROC and the numbers of patients.

    Args:
        labels: [N], 0 or 1.
        scores: [N], finite; any monotone scale.
        patients: [N], the patient of each image, as values of any type; None for one image per patient.
    """
    aurocs, covariance, (positives, negatives) = _covariance(labels, scores[None], patients)
    area, variance = float(aurocs[0]), float(covariance[0, 0])
    if math.isnan(area):
        return AUROCEstimate(area, math.nan, math.nan)
    if not variance > 0 or area in (0, 1):
        low = _newcombe_low(area, positives, negatives)
        return AUROCEstimate(area, low, 1 - _newcombe_low(1 - area, positives, negatives))
    reach = Z_95 * math.sqrt(variance) / (area * (1 - area))
    odds = area / (1 - area)
    return AUROCEstimate(area, odds / (odds + math.exp(reach)), odds / (odds + math.exp(-reach)))


def compare_aurocs(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, patients: np.ndarray | None = None
) -> AUROCDifference:
    """Test whether two models have the same AUROC on the same images (DeLong's paired test).

    Args:
        labels: [N], 0 or 1.
        first: scores [N], finite.
        second: scores [N], finite; their scale may differ from that of `first`.
        patients: as in `estimate_auroc`.
    """
    aurocs, covariance, _ = _covariance(labels, np.stack([first, second]), patients)
    value = float(aurocs[0] - aurocs[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if math.isnan(variance) or (variance <= _ROUNDING and abs(value) > _ROUNDING):
        return AUROCDifference(value, math.nan, math.nan, math.nan)
    if variance <= _ROUNDING:
        return AUROCDifference(0.0, 0.0, 0.0, 1.0)
    error = math.sqrt(variance)
    reach = Z_95 * error
    return AUROCDifference(
        value, max(-1.0, value - reach), min(1.0, value + reach), float(2 * ndtr(-abs(value) / error))
    )


def _covariance(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Compute the AUROCs of K models with their covariance.

    Args:
        labels: [N], 0 or 1.
        scores: [K, N].
        patients: as in `estimate_auroc`.

    Returns:
        AUROCs [K], NaN if there are only positives or only negatives; covariance [K, K], NaN also if one patient has
        all positives or all negatives; and the numbers of patients with a positive and with a negative.
    """
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return np.full(len(scores), np.nan), np.full((len(scores),) * 2, np.nan), (0, 0)
    # Placements: for each positive the fraction of negatives that it outscores, for each negative the fraction of
    # positives that outscore it; ties count half.
    over = np.stack([_outscored(row[positive], row[~positive]) for row in scores])  # [K, m]
    under = 1 - np.stack([_outscored(row[~positive], row[positive]) for row in scores])  # [K, n]
    aurocs = np.array([auroc(labels, row) for row in scores])  # the mean of the placements, exactly
    patient = np.arange(len(labels)) if patients is None else np.unique(patients, return_inverse=True)[1].ravel()
    positive_sums = _sums(over - aurocs[:, None], patient[positive], len(labels))  # [K, P]
    negative_sums = _sums(under - aurocs[:, None], patient[~positive], len(labels))
    counts = [int(np.count_nonzero(np.bincount(ids))) for ids in (patient[positive], patient[~positive], patient)]
    if min(counts) < 2:
        return aurocs, np.full((len(scores),) * 2, np.nan), (counts[0], counts[1])
    unbias_positives, unbias_negatives, unbias_all = (count / (count - 1) for count in counts)
    cross = _products(positive_sums, negative_sums) / (m * n)
    covariance = (
        unbias_positives * _products(positive_sums, positive_sums) / m**2
        + unbias_negatives * _products(negative_sums, negative_sums) / n**2
        + unbias_all * (cross + cross.T)
    )
    return aurocs, covariance, (counts[0], counts[1])


def _outscored(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute for each score the fraction of the others that are lower; ties count half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / (2 * len(others))


def _sums(values: np.ndarray, patient: np.ndarray, length: int) -> np.ndarray:
    """Sum values [K, M] per patient, [K, length]."""
    return np.stack([np.bincount(patient, row, minlength=length) for row in values])


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply [K, P] with [K, P] -> [K, K]; starting threads for `@` would cost more than these few sums."""
    return np.einsum("ip,jp->ij", a, b)


def _newcombe_low(area: float, positives: int, negatives: int) -> float:
    """Find the lower end: the AUROC that lies 1.96 of its own standard errors below `area`."""
    if area == 0:
        return 0.0
    mean_others = (positives + negatives) / 2 - 1

    def excess(value: float) -> float:
        spread = 1 + mean_others * ((1 - value) / (2 - value) + value / (1 + value))
        variance = value * (1 - value) * spread / (positives * negatives)
        return (area - value) ** 2 - Z_95**2 * variance

    return float(brentq(excess, 0, area * (1 - 1e-9)))
