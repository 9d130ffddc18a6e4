"""Whether probabilities are frequencies: of the images given 0.2, do 20 % have the finding? And how to make it so."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Images of neighbouring probabilities.

    Attributes:
        images: how many.
        positives: how many of them have the finding.
        mean: of their probabilities.
    """

    images: int
    positives: int
    mean: float

    @property
    def observed(self) -> float:
        """The share that has the finding."""
        return self.positives / self.images


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[Bin]:
    """Ten bins with equal numbers of images, by rising probability; fewer where many probabilities are equal.

    Not bins of equal width, as are usual for balanced classes: most findings are rare, and nearly all images would
    share the lowest one. Equal probabilities stay together.

    Args:
        labels: [N], 0 or 1, N > 0.
        probabilities: [N] in 0..1.
    """
    order = np.argsort(probabilities, kind="stable")
    ordered = probabilities[order]
    wanted = np.linspace(0, len(ordered), BINS + 1).round().astype(int)[1:-1]
    starts = np.unique([0, *np.searchsorted(ordered, ordered[np.minimum(wanted, len(ordered) - 1)], "left")])
    parts = zip(np.split(labels[order], starts[1:]), np.split(ordered, starts[1:]), strict=True)
    return [Bin(len(own), int((own == 1).sum()), float(scores.mean(dtype=np.float64))) for own, scores in parts]


def expected_error(bins: list[Bin]) -> float:
    """ECE: how far a bin's mean probability is from what was observed in it, averaged over the images.

    Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.
    """
    return sum(one.images * abs(one.mean - one.observed) for one in bins) / sum(one.images for one in bins)


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared error of probabilities [N] (Brier, Mon. Weather Rev. 78, 1950); 0 is best."""
    return float(np.mean((probabilities.astype(np.float64) - labels) ** 2))


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """One number for all classes that the logits are divided by (Guo et al., On calibration, ICML 2017).

    The one that makes labels [N, C] the most likely; above 1 if the network is too sure. It is looked for in 0.02..50.
    """
    logits = to_logits(probabilities)

    def loss(log_temperature: float) -> float:
        return _loss(logits * np.exp(-log_temperature), labels)

    found = minimize_scalar(loss, bounds=(-np.log(50), np.log(50)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def fit_platt(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    """Slope and offset for the logits of one class, [N], that make its labels [N] the most likely.

    Platt, Probabilistic outputs for support vector machines, 1999, with its targets: as if one more image with the
    finding and one more without had been seen, so that separated classes do not ask for an infinite slope.

    Raises:
        ValueError: `labels` holds one kind only.
    """
    positive = labels == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        raise ValueError("labels of one kind only: nothing can be fitted to them")
    targets = np.where(positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    logits = to_logits(probabilities)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset = parameters
        shifted = slope * logits + offset
        error = expit(shifted) - targets
        return _loss(shifted, targets), np.array([np.mean(error * logits), np.mean(error)])

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return float(slope), float(offset)


def to_logits(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities -> logits, float64; those of 0 and 1, to which float32 rounds large ones, are +-15.9."""
    edge = np.finfo(np.float32).eps
    return logit(np.clip(probabilities.astype(np.float64), edge, 1 - edge))


def _loss(logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean cross entropy."""
    return float(np.mean(np.logaddexp(0, logits) - targets * logits))
