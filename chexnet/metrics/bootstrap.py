"""AUROCs of resampled patients: patients are drawn with replacement, each with all of their images."""

from collections.abc import Iterator

import numpy as np

REPLICATES = 2000


def resampled_aurocs(
    labels: np.ndarray, scores: np.ndarray, patients: np.ndarray, replicates: int = REPLICATES, seed: int = 0
) -> np.ndarray:
    """The AUROC of each class in each of many resamples of the patients.

    Equal patients and an equal seed give equal resamples, so that of two predictions the differences can be taken.

    Nothing is sorted twice: a resample gives each image a weight, how often its patient was drawn, and each
    positive outscores, of the negatives in their order, those up to a place that never changes.

    Args:
        labels: [N, C], 0 or 1.
        scores: [N, C], finite.
        patients: [N], whose image it is, in any values.
        replicates: how many resamples.
        seed: of the draws.

    Returns:
        float64 [replicates, C], NaN where a resample has only positives or only negatives, and where there is only one
        patient, whose resamples are all alike and say nothing of others.
    """
    number, patient = np.unique(patients, return_inverse=True)
    patient = patient.ravel()
    if len(number) < 2:
        return np.full((replicates, labels.shape[1]), np.nan)
    rankings = [_Ranking(label, score, patient) for label, score in zip(labels.T, scores.T, strict=True)]
    return np.array(
        [[ranking.auroc(times) for ranking in rankings] for times in _draws(len(number), replicates, seed)]
    ).reshape(replicates, len(rankings))


def mean_over_classes(aurocs: np.ndarray) -> np.ndarray:
    """[R, C] -> [R]: of each resample over the classes that are defined in it; NaN where none is."""
    defined = ~np.isnan(aurocs)
    with np.errstate(invalid="ignore"):
        return np.nansum(aurocs, axis=1) / defined.sum(axis=1)


def percentile_interval(values: np.ndarray) -> tuple[float, float]:
    """The 2.5th and the 97.5th percentile of the resamples that are not NaN; two NaN if all are."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, (2.5, 97.5))
    return float(low), float(high)


class _Ranking:
    """One class, its scores in order."""

    def __init__(self, labels: np.ndarray, scores: np.ndarray, patient: np.ndarray) -> None:
        positive = labels == 1
        order = np.argsort(scores[~positive], kind="stable")
        negatives = scores[~positive][order]
        self.negative_patient = patient[~positive][order]
        self.positive_patient = patient[positive]
        # How many negatives are lower than each positive, and lower or equal.
        self.lower = np.searchsorted(negatives, scores[positive], "left")
        self.lower_or_equal = np.searchsorted(negatives, scores[positive], "right")

    def auroc(self, times: np.ndarray) -> float:
        """With each patient taken so many times, int64 [P]."""
        positives = times[self.positive_patient]
        up_to = np.zeros(len(self.negative_patient) + 1, np.int64)  # weight of the negatives up to a place
        np.cumsum(times[self.negative_patient], out=up_to[1:])
        pairs = int(positives.sum()) * int(up_to[-1])
        if pairs == 0:
            return float("nan")
        return int(positives @ (up_to[self.lower] + up_to[self.lower_or_equal])) / (2 * pairs)


def _draws(patients: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each patient is drawn, int64 [P], in each resample."""
    rng = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.bincount(rng.integers(0, patients, patients), minlength=patients)
