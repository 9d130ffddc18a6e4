"""Bootstrap AUROCs: patients are drawn with replacement, each with all of their images."""

from collections.abc import Iterator

import numpy as np

REPLICATES = 2000


def resampled_aurocs(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray, replicates: int = REPLICATES, seed: int = 0
) -> np.ndarray:
    """Compute the AUROC of each class in each of many resamples of the patients.

    The same patients and seed give the same resamples, so the results of two models can be subtracted.

    Scores are sorted once. Each resample only reweights images by how often their patient was drawn, so the rank of
    every positive among the sorted negatives stays fixed. `scipy.stats.bootstrap` would resample images instead of
    patients and sort again for each resample.

    Args:
        labels: [N, C], 0 or 1.
        scores: [N, C], finite.
        patients: [N], the patient of each image, as values of any type.
        replicates: number of resamples, R.
        seed: random seed.

    Returns:
        float64 [R, C]. NaN where a resample has only positives or only negatives. All NaN for a single patient, whose
        resamples are identical.
    """
    number, patient = np.unique(patients, return_inverse=True)
    patient = patient.ravel()
    if len(number) < 2:
        return np.full((replicates, labels.shape[1]), np.nan)
    rankings = [_Ranking(label, score, patient) for label, score in zip(labels.T, scores.T, strict=True)]
    return np.array(
        [[ranking.auroc(weights) for ranking in rankings] for weights in _resample(len(number), replicates, seed)]
    ).reshape(replicates, len(rankings))


def nanmean_over_classes(aurocs: np.ndarray) -> np.ndarray:
    """Average each resample over the classes that are defined in it, [R, C] -> [R]; NaN if there is none."""
    return np.ma.masked_invalid(aurocs).mean(axis=1).filled(np.nan)  # np.nanmean warns about all-NaN rows


def percentile_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of the resamples that are not NaN; two NaN if all are."""
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)


class _Ranking:
    """Sorted scores of one class."""

    def __init__(self, labels: np.ndarray, scores: np.ndarray, patient: np.ndarray) -> None:
        positive = labels == 1
        order = np.argsort(scores[~positive], kind="stable")
        negatives = scores[~positive][order]
        self.negative_patient = patient[~positive][order]
        self.positive_patient = patient[positive]
        # For each positive: the number of negatives with a lower score, and with a lower or equal score.
        self.lower = np.searchsorted(negatives, scores[positive], "left")
        self.lower_or_equal = np.searchsorted(negatives, scores[positive], "right")

    def auroc(self, weights: np.ndarray) -> float:
        """Compute the AUROC of a resample that contains each patient `weights` times, int64 [P]."""
        positives = weights[self.positive_patient]
        cumulative = np.zeros(len(self.negative_patient) + 1, np.int64)  # weight of the lowest k negatives
        np.cumsum(weights[self.negative_patient], out=cumulative[1:])
        pairs = int(positives.sum()) * int(cumulative[-1])
        if pairs == 0:
            return float("nan")
        return int(positives @ (cumulative[self.lower] + cumulative[self.lower_or_equal])) / (2 * pairs)


def _resample(patients: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the number of times each patient is drawn, int64 [P], once per resample."""
    rng = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.bincount(rng.integers(0, patients, patients), minlength=patients)
