"""Platt scaling: the correction that turns a network's probabilities into calibrated ones. Needs only NumPy."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

MAX_PARAMETER = 1e6
"""Maximum of the slope and of the absolute offset. A fit to logits within -15.9..15.9 does not come near it."""


@dataclass(frozen=True)
class PlattScaling:
    """A linear function of the logit of one finding, fitted to labels (`chexnet.metrics.calibration.fit_platt`).

    Attributes:
        slope: factor of the logit, above 0 so that the order of the images stays.
        offset: added to the scaled logit.
    """

    slope: float
    offset: float

    @property
    def is_usable(self) -> bool:
        """True if both numbers are finite and at most MAX_PARAMETER, and the slope is above 0."""
        limits = 0 < self.slope <= MAX_PARAMETER and abs(self.offset) <= MAX_PARAMETER
        return limits and math.isfinite(self.slope) and math.isfinite(self.offset)

    def apply(self, probability: ArrayLike) -> np.ndarray:
        """Return sigmoid(slope * logit(probability) + offset), float64 of the shape of `probability`.

        Args:
            probability: values in 0..1, averaged over crops. `to_logits` limits the logits of 0 and 1.
        """
        return sigmoid(self.slope * to_logits(probability) + self.offset)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logits)) as float64, without overflow."""
    probabilities: np.ndarray = np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))
    return probabilities


def to_logits(probabilities: ArrayLike) -> np.ndarray:
    """Convert probabilities to float64 logits in -15.9..15.9; float32 rounds larger logits to 0 and 1."""
    edge = float(np.finfo(np.float32).eps)
    clipped = np.clip(np.asarray(probabilities, np.float64), edge, 1 - edge)
    logits: np.ndarray = np.log(clipped) - np.log1p(-clipped)
    return logits
