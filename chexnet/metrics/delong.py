"""Confidence interval of the AUROC and paired test of two models, from DeLong's variance with patients as clusters.

`chexnet.metrics.placements` computes the variance.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from chexnet.metrics.differences import Z_95, Difference, difference
from chexnet.metrics.placements import Placements, covariance, placements


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
    (curve,) = _curves(labels, scores[None], patients)
    return estimate(curve)


def estimate(curve: Placements) -> AUROCEstimate:
    """Estimate the 95 % interval of an AUROC, see `estimate_auroc`."""
    area, variance = curve.auroc, float(covariance([curve])[0, 0])
    if math.isnan(area):
        return AUROCEstimate(area, math.nan, math.nan)
    if not variance > 0 or area in (0, 1):
        positives, negatives, _ = curve.patients
        low = _newcombe_low(area, positives, negatives)
        return AUROCEstimate(area, low, 1 - _newcombe_low(1 - area, positives, negatives))
    reach = Z_95 * math.sqrt(variance) / (area * (1 - area))
    odds = area / (1 - area)
    return AUROCEstimate(area, odds / (odds + math.exp(reach)), odds / (odds + math.exp(-reach)))


def compare_aurocs(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, patients: np.ndarray | None = None
) -> Difference:
    """Test whether two models have the same AUROC on the same images (DeLong's paired test).

    Args:
        labels: [N], 0 or 1.
        first: scores [N], finite.
        second: scores [N], finite; their scale may differ from that of `first`.
        patients: as in `estimate_auroc`.
    """
    return compare_curves(*_curves(labels, np.stack([first, second]), patients))


def compare_curves(first: Placements, second: Placements) -> Difference:
    """Test whether two AUROCs differ, first minus second, given the contributions of the same patients to both."""
    variances = covariance([first, second])
    return difference(first.auroc - second.auroc, float(variances[0, 0] + variances[1, 1] - 2 * variances[0, 1]))


def _curves(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray | None) -> list[Placements]:
    """Compute the placements of K models, scores [K, N], on the same images."""
    patient = np.arange(len(labels)) if patients is None else np.unique(patients, return_inverse=True)[1].ravel()
    return [placements(labels, row, patient, len(labels)) for row in scores]


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
