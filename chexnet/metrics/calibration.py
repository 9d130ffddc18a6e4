"""Calibration: measure whether predicted probabilities match observed frequencies, and fit corrections."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from sklearn.metrics import brier_score_loss

from chexnet.metrics.platt import to_logits

BINS = 10


@dataclass(frozen=True)
class Bin:
    """A bin of images with similar probabilities.

    Attributes:
        images: number of images.
        positives: number of images that have the finding.
        mean: mean of the probabilities, 0..1.
    """

    images: int
    positives: int
    mean: float

    @property
    def observed(self) -> float:
        """The fraction of images that have the finding, 0..1."""
        return self.positives / self.images


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[Bin]:
    """Sort images by probability and divide them into ten bins of equal size.

    Bins of equal width suit balanced classes, but most findings are rare, so nearly all images would share the lowest
    bin. Equal probabilities share a bin, so there can be fewer than ten. scikit-learn's `calibration_curve` returns no
    counts.

    Args:
        labels: [N], 0 or 1, N > 0.
        probabilities: [N] in 0..1.
    """
    order = np.argsort(probabilities, kind="stable")
    ordered = probabilities[order]
    edges = np.linspace(0, len(ordered), BINS + 1).round().astype(int)[1:-1]
    starts = np.unique([0, *np.searchsorted(ordered, ordered[np.minimum(edges, len(ordered) - 1)], "left")])
    groups = zip(np.split(labels[order] == 1, starts[1:]), np.split(ordered, starts[1:]), strict=True)
    return [
        Bin(len(positive), int(positive.sum()), float(values.mean(dtype=np.float64))) for positive, values in groups
    ]


def expected_calibration_error(bins: list[Bin]) -> float:
    """Average |mean probability - observed frequency| over the bins, weighted by their numbers of images.

    Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.
    """
    return sum(group.images * abs(group.mean - group.observed) for group in bins) / sum(group.images for group in bins)


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean squared error of probabilities [N] (Brier, Mon. Weather Rev. 78, 1950); 0 is best."""
    return float(brier_score_loss(labels, probabilities.astype(np.float64)))


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Fit one temperature for all classes, a divisor of the logits (Guo et al., On calibration, ICML 2017).

    The temperature maximizes the likelihood of the labels [N, C] within 0.02..50. It is above 1 if the network is
    overconfident.
    """
    logits = to_logits(probabilities)

    def loss(log_temperature: float) -> float:
        return _loss(logits * np.exp(-log_temperature), labels)

    found = minimize_scalar(loss, bounds=(-np.log(50), np.log(50)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def fit_platt(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    """Fit the slope and offset for the logits of one class [N] that maximize the likelihood of its labels [N].

    Platt, Probabilistic outputs for support vector machines, 1999. As in that paper, the targets are smoothed as if
    there were one more image with the finding and one more without it, so the slope of separable classes stays finite.
    scikit-learn's implementation is private, and its LogisticRegression does not accept smoothed targets.

    Raises:
        ValueError: `labels` are only positives or only negatives.
    """
    positive = labels == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        raise ValueError("only positives or only negatives: nothing can be fitted to them")
    targets = np.where(positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    logits = to_logits(probabilities)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset = parameters
        shifted = slope * logits + offset
        error = expit(shifted) - targets
        return _loss(shifted, targets), np.array([np.mean(error * logits), np.mean(error)])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return float(slope), float(offset)


def _loss(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean cross entropy."""
    return float(np.mean(np.logaddexp(0, logits) - targets * logits))
