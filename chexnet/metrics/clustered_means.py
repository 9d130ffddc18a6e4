"""Means and proportions of images, with intervals that count the images of one patient as one cluster."""

import math
from dataclasses import dataclass

import numpy as np

from chexnet.metrics.differences import Z_95, Difference, difference


@dataclass(frozen=True)
class ClusteredMean:
    """A mean over images, and what each of P patients contributes to its sampling error.

    Attributes:
        value: the mean; NaN without images.
        images: number of images.
        patients: number of patients with images.
        errors: float64 [P]; sum over the images of a patient of value minus mean, divided by the number of all images.
    """

    value: float
    images: int
    patients: int
    errors: np.ndarray

    @property
    def variance(self) -> float:
        """Variance of the mean, a ratio estimator of clusters (Cochran, Sampling Techniques, 1977, 11.8)."""
        if self.patients < 2:
            return math.nan
        return self.patients / (self.patients - 1) * float(self.errors @ self.errors)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval, symmetric; two NaN for fewer than two patients."""
        reach = Z_95 * math.sqrt(self.variance)
        return self.value - reach, self.value + reach

    @property
    def wilson(self) -> tuple[float, float]:
        """95 % interval of a proportion: Wilson's, with the number of images divided by the design effect.

        The design effect is the ratio of the variance to that of independent images (Rao and Scott, Biometrics 48,
        1992), here at least 1. It cannot be estimated from a proportion of 0 or 1 or from one patient; the number of
        patients then replaces that of images. With one image per patient, this is exactly Wilson's interval.
        """
        if self.images == 0:
            return math.nan, math.nan
        spread = self.value * (1 - self.value)
        size = float(self.patients)
        if spread > 0 and self.patients > 1:
            effect = self.variance * (self.images - 1) / spread
            size = self.images / max(effect, 1.0)
        z = Z_95**2 / size
        center = (self.value + z / 2) / (1 + z)
        reach = math.sqrt(spread * z + z * z / 4) / (1 + z)
        return max(0.0, min(self.value, center - reach)), min(1.0, max(self.value, center + reach))


def clustered_mean(values: np.ndarray, patient: np.ndarray, n_patients: int) -> ClusteredMean:
    """Compute the mean of values [N] and the contributions of the patients.

    Args:
        values: float or bool [N].
        patient: int [N], the patient of each image, 0 to `n_patients` - 1.
        n_patients: P.
    """
    if not len(values):
        return ClusteredMean(math.nan, 0, 0, np.zeros(n_patients))
    mean = float(np.mean(values, dtype=np.float64))
    errors = np.bincount(patient, values - mean, minlength=n_patients) / len(values)
    return ClusteredMean(mean, len(values), len(np.unique(patient)), errors)


def compare_means(first: ClusteredMean, second: ClusteredMean) -> Difference:
    """Compare two means, first minus second. Patients may have images in both, which makes the means correlated."""
    if min(first.patients, second.patients) < 2:
        return Difference(first.value - second.value, math.nan, math.nan, math.nan)
    factors = [math.sqrt(mean.patients / (mean.patients - 1)) for mean in (first, second)]
    errors = factors[0] * first.errors - factors[1] * second.errors
    return difference(first.value - second.value, float(errors @ errors))


def effective_patients(patient: np.ndarray) -> float:
    """Return the number of patients with equally many images that would give the same precision.

    Kish, Survey Sampling, 1965: the squared number of images over the sum of the squared numbers of each patient. A
    patient with most of the images makes it small.

    Args:
        patient: [N], the patient of each image, as values of any type; 0 without images.
    """
    counts = np.unique(patient, return_counts=True)[1].astype(np.float64)
    return float(counts.sum() ** 2 / (counts @ counts)) if len(counts) else 0.0
