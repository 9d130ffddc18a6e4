"""Placement values of ROC curves, which give the covariance of their AUROCs.

The covariance is that of DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988. Sorting gives the placements in
O(n log n), as in Sun and Xu, IEEE Signal Process. Lett. 21, 2014. The images of one patient are not independent, so
their placements are summed first (Obuchowski, Biometrics 53, 1997). With one image per patient, this is exactly
DeLong's covariance. Curves may be those of two models, of two groups of images, or of two sets of labels: each patient
contributes to every curve that has images of this patient. SciPy and scikit-learn implement none of this.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chexnet.metrics.auroc import auroc


@dataclass(frozen=True)
class Placements:
    """An AUROC, and what each of P patients contributes to its sampling error.

    Attributes:
        auroc: the AUROC; NaN if there are only positives or only negatives.
        positive_errors: float64 [P]; sum over the positives of a patient of placement minus AUROC, divided by the
            number of all positives. The placement of a positive is the fraction of negatives that it outscores.
        negative_errors: float64 [P]; the same for the negatives.
        patients: number of patients with a positive, with a negative, and with either.
    """

    auroc: float
    positive_errors: np.ndarray
    negative_errors: np.ndarray
    patients: tuple[int, int, int]


def placements(labels: np.ndarray, scores: np.ndarray, patient: np.ndarray, n_patients: int) -> Placements:
    """Compute the AUROC and the contributions of the patients.

    Args:
        labels: [N], 0 or 1.
        scores: [N], finite; any monotone scale.
        patient: int [N], the patient of each image, 0 to `n_patients` - 1. Curves whose covariance is computed must
            use the same numbers.
        n_patients: P; patients without images here contribute 0.
    """
    area = auroc(labels, scores)
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return Placements(area, np.full(n_patients, np.nan), np.full(n_patients, np.nan), (0, 0, 0))
    # For each positive the fraction of negatives that it outscores, for each negative the fraction of positives that
    # outscore it; ties count half.
    over = _outscored(scores[positive], scores[~positive]) - area
    under = 1 - _outscored(scores[~positive], scores[positive]) - area
    return Placements(
        auroc=area,
        positive_errors=np.bincount(patient[positive], over, minlength=n_patients) / m,
        negative_errors=np.bincount(patient[~positive], under, minlength=n_patients) / n,
        patients=(
            len(np.unique(patient[positive])),
            len(np.unique(patient[~positive])),
            len(np.unique(patient)),
        ),
    )


def covariance(curves: Sequence[Placements]) -> np.ndarray:
    """Compute the covariance of AUROCs, float64 [K, K].

    Rows and columns of a curve are NaN if one patient has all of its positives or all of its negatives. Obuchowski
    multiplies each sum over k patients by k / (k - 1). Two curves with other patients take the geometric mean.
    """
    factors = np.array([[_unbiased(count) for count in curve.patients] for curve in curves])  # [K, 3]
    with_positive, with_negative, with_either = (np.sqrt(np.outer(column, column)) for column in factors.T)
    positives = np.stack([curve.positive_errors for curve in curves])  # [K, P]
    negatives = np.stack([curve.negative_errors for curve in curves])
    cross = _products(positives, negatives)
    return (
        with_positive * _products(positives, positives)
        + with_negative * _products(negatives, negatives)
        + with_either * (cross + cross.T)
    )


def _unbiased(count: int) -> float:
    return count / (count - 1) if count > 1 else np.nan


def _outscored(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute for each score the fraction of the others that are lower; ties count half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / (2 * len(others))


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply [K, P] with [K, P] -> [K, K]; starting threads for `@` would cost more than these few sums."""
    return np.einsum("ip,jp->ij", a, b)
