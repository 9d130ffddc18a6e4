"""Agreement of two sets of labels beyond chance."""

import math

import numpy as np

from chexnet.metrics.differences import Z_95

_ROUNDING = 1e-14


def cohen_kappa(
    first: np.ndarray, second: np.ndarray, patients: np.ndarray | None = None
) -> tuple[float, tuple[float, float]]:
    """Compute Cohen's kappa and its 95 % interval.

    Cohen, Educ. Psychol. Meas. 20, 1960. The variance is that of Fleiss, Cohen and Everitt, Psychol. Bull. 72, 1969,
    computed from the contribution of each image, which are summed per patient. scikit-learn gives no interval.

    Args:
        first: [N], 0 or 1.
        second: [N], 0 or 1.
        patients: [N], the patient of each image; None for one image per patient.

    Returns:
        Kappa, NaN if both sets have only one and the same label; and the ends of its interval within -1..1, NaN for
        fewer than two patients, or if the images show no variance.
    """
    a, b = (np.asarray(labels == 1, np.float64) for labels in (first, second))
    p, q = float(a.mean()), float(b.mean())
    chance = p * q + (1 - p) * (1 - q)
    if chance >= 1:
        return math.nan, (math.nan, math.nan)
    agreement = float(np.mean(a == b))
    kappa = (agreement - chance) / (1 - chance)
    of_chance = (2 * q - 1) * (a - p) + (2 * p - 1) * (b - q)
    errors = ((a == b) - agreement) * (1 - chance) - (1 - agreement) * of_chance
    patient = np.arange(len(a)) if patients is None else np.unique(patients, return_inverse=True)[1].ravel()
    sums = np.bincount(patient, errors) / ((1 - chance) ** 2 * len(a))
    variance = float(sums @ sums) * len(sums) / max(len(sums) - 1, 1)
    if len(sums) < 2 or variance <= _ROUNDING:
        return kappa, (math.nan, math.nan)
    reach = Z_95 * math.sqrt(variance)
    return kappa, (max(-1.0, kappa - reach), min(1.0, kappa + reach))
