"""Planning of tests: the difference in AUROC that a list of images can show, and the images that a difference needs.

Scores are assumed to be normal with equal variance in images with and without a finding (the binormal model). Then the
variance components of an AUROC are bivariate normal probabilities (DeLong, DeLong and Clarke-Pearson, Biometrics 44,
1988, with the kernel's covariances under this model). Images of one patient are correlated (Obuchowski, Biometrics 53,
1997), and so are two models on the same images (Hanley and McNeil, Radiology 148, 1983).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


@dataclass(frozen=True)
class Design:
    """Assumptions of a plan.

    Attributes:
        paired: whether both models are tested on the same images; otherwise each on its own list of this kind.
        model_correlation: correlation of the scores of the two models for one image, among images with the same label.
        patient_correlation: correlation of the scores of one model for two images of one patient with the same label.
            For two models, it is multiplied by `model_correlation`.
        finding_correlation: correlation of the sampling errors of two findings, for the mean over the findings.
        alpha: two-sided significance level.
        power: probability of a significant result.
    """

    paired: bool = True
    model_correlation: float = 0.8
    patient_correlation: float = 0.5
    finding_correlation: float = 0.02
    alpha: float = 0.05
    power: float = 0.8

    @property
    def errors_apart(self) -> float:
        """Standard errors between 0 and a difference that is found with this power."""
        return float(ndtri(1 - self.alpha / 2) + ndtri(self.power))


@dataclass(frozen=True)
class Clusters:
    """Distribution of the images with and without a finding over the patients.

    Attributes:
        positives: number of images with the finding.
        negatives: number of images without it.
        positive_pairs: number of ordered pairs of two images with the finding of one patient.
        negative_pairs: number of such pairs without the finding.
        mixed_pairs: number of pairs of one image with and one without the finding of one patient.
        patients_with: number of patients with a positive.
        patients_without: number of patients with a negative.
    """

    positives: float
    negatives: float
    positive_pairs: float
    negative_pairs: float
    mixed_pairs: float
    patients_with: float
    patients_without: float

    @property
    def defined(self) -> bool:
        """Return whether there are positives and negatives."""
        return self.positives > 0 and self.negatives > 0

    @property
    def effective_patients(self) -> tuple[float, float]:
        """Effective numbers of patients with and without the finding, see `clustered_means.effective_patients`."""
        return (
            self.positives**2 / (self.positives + self.positive_pairs) if self.positives else 0.0,
            self.negatives**2 / (self.negatives + self.negative_pairs) if self.negatives else 0.0,
        )


def clusters_of_labels(labels: np.ndarray, patients: np.ndarray) -> Clusters:
    """Count the clusters of one finding, from labels [N] of 0 or 1 and the patients [N] of the images."""
    patient = np.unique(patients, return_inverse=True)[1].ravel()
    with_finding = np.bincount(patient, labels == 1).astype(np.float64)
    without = np.bincount(patient).astype(np.float64) - with_finding
    return Clusters(
        positives=float(with_finding.sum()),
        negatives=float(without.sum()),
        positive_pairs=float(with_finding @ (with_finding - 1)),
        negative_pairs=float(without @ (without - 1)),
        mixed_pairs=float(with_finding @ without),
        patients_with=float(np.count_nonzero(with_finding)),
        patients_without=float(np.count_nonzero(without)),
    )


def clusters_of_counts(images: int, patients: int, prevalence: float) -> Clusters:
    """Assume patients with equal numbers of images that all have the same label, the least favorable case.

    Args:
        images: number of images.
        patients: number of patients, at most `images`.
        prevalence: fraction of images with the finding, 0..1.
    """
    size = images / patients
    positives, negatives = prevalence * images, (1 - prevalence) * images
    return Clusters(
        positives=positives,
        negatives=negatives,
        positive_pairs=positives * (size - 1),
        negative_pairs=negatives * (size - 1),
        mixed_pairs=0.0,
        patients_with=positives / size,
        patients_without=negatives / size,
    )


def half_width(clusters: Sequence[Clusters], aurocs: Sequence[float], design: Design) -> float:
    """Return half of the width of the 95 % interval of the mean AUROC of these findings, 1.96 standard errors."""
    variances = [
        sum(_covariance(counts, (area, area), 1.0, design)) for counts, area in zip(clusters, aurocs, strict=True)
    ]
    return float(ndtri(0.975)) * math.sqrt(_total(np.array(variances), design)) / len(variances)


def difference_variance(clusters: Clusters, auroc: float, difference: float, design: Design) -> tuple[float, float]:
    """Compute the variance of the estimated difference between AUROCs of `auroc` and `auroc - difference`.

    Returns:
        The part that is divided by f if the list becomes f times as large, and the part that is divided by f squared.
    """
    pair = (auroc, auroc - difference)
    parts = np.array([_covariance(clusters, (area, area), 1.0, design) for area in pair]).sum(axis=0)
    if design.paired:
        parts -= 2 * np.array(_covariance(clusters, pair, design.model_correlation, design))
    return float(parts[0]), float(parts[1])


def mean_difference_variance(
    clusters: Sequence[Clusters], aurocs: Sequence[float], difference: float, design: Design
) -> tuple[float, float]:
    """Compute the variance of the difference of the mean AUROC of C findings, each lower by `difference`.

    Returns:
        As `difference_variance`.
    """
    found = [difference_variance(*finding, difference, design) for finding in zip(clusters, aurocs, strict=True)]
    variances, smaller = np.array(found).sum(axis=1), float(np.array(found)[:, 1].sum())
    return (_total(variances, design) - smaller) / len(found) ** 2, smaller / len(found) ** 2


def detectable_difference(clusters: Sequence[Clusters], aurocs: Sequence[float], design: Design) -> float:
    """Return the smallest difference between mean AUROCs of these findings that is found with the power of the design.

    Args:
        clusters: clusters of C findings; one for a single finding.
        aurocs: C AUROCs of the better model, above 0.5 and below 1.
        design: assumptions.

    Returns:
        The difference, or NaN if even a second model with an AUROC of 0.5 would not be found to be worse.
    """

    def excess(difference: float) -> float:
        variance = sum(mean_difference_variance(clusters, aurocs, difference, design))
        return difference - design.errors_apart * math.sqrt(max(variance, 0.0))

    largest = min(aurocs) - 0.5
    return float(brentq(excess, 1e-9, largest)) if excess(largest) > 0 else math.nan


def growth(clusters: Sequence[Clusters], aurocs: Sequence[float], difference: float, design: Design) -> float:
    """Return how many times as large the list must be to show a difference between mean AUROCs of these findings.

    Patients with the same numbers of images are added. Below 1, a smaller list is enough.
    """
    first, second = mean_difference_variance(clusters, aurocs, difference, design)
    wanted = (difference / design.errors_apart) ** 2
    return (first + math.sqrt(first**2 + 4 * wanted * second)) / (2 * wanted)


def power_of(clusters: Sequence[Clusters], aurocs: Sequence[float], difference: float, design: Design) -> float:
    """Return the probability that a difference between mean AUROCs of these findings is significant."""
    error = math.sqrt(sum(mean_difference_variance(clusters, aurocs, difference, design)))
    critical = float(ndtri(1 - design.alpha / 2))
    return float(ndtr(difference / error - critical) + ndtr(-difference / error - critical))


def _total(variances: np.ndarray, design: Design) -> float:
    """Return the variance of the sum of the AUROCs or differences of C findings, from their variances [C]."""
    errors = np.sqrt(np.maximum(variances, 0))
    return float(variances.sum() + design.finding_correlation * (errors.sum() ** 2 - errors @ errors))


def _covariance(
    clusters: Clusters, aurocs: tuple[float, float], correlation: float, design: Design
) -> tuple[float, float]:
    """Compute the covariance of two AUROCs whose scores for one image have this correlation; 1 for one model.

    Two pairs of a positive and a negative have correlated scores if they share an image or a patient. The sum over all
    pairs of pairs gives the covariance.

    Returns:
        The part of order 1/N and the part of order 1/N squared.
    """
    m, n = clusters.positives, clusters.negatives
    a, b = map(float, ndtri(aurocs))
    same_image = _kernel_covariance(a, b, correlation / 2)
    same_patient = _kernel_covariance(a, b, correlation * design.patient_correlation / 2)
    opposite = _kernel_covariance(a, b, -correlation * design.patient_correlation / 2)
    leading = (
        (m * same_image + clusters.positive_pairs * same_patient) / m**2
        + (n * same_image + clusters.negative_pairs * same_patient) / n**2
        + 2 * clusters.mixed_pairs * opposite / (m * n)
    )
    return leading, (_kernel_covariance(a, b, correlation) - 2 * same_image) / (m * n)


def _kernel_covariance(a: float, b: float, correlation: float) -> float:
    """Return P(X < a, Y < b) - P(X < a) P(Y < b) for standard normal X and Y of this correlation.

    Drezner and Wesolowsky, J. Stat. Comput. Simul. 35, 1990: an integral over the arcsine of the correlation.
    """
    end = math.asin(correlation)
    angles = end * (_NODES + 1) / 2
    sine, square = np.sin(angles), np.cos(angles) ** 2
    return float(_WEIGHTS @ np.exp(-(a * a + b * b - 2 * a * b * sine) / (2 * square))) * end / (4 * math.pi)
