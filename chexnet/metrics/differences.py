"""Differences between two estimates, with an interval and a test."""

import math
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

Z_95 = float(ndtri(0.975))
"""Half-width of a 95 % interval, in standard errors."""

ROUNDING = 1e-14
"""Variances up to this value are rounding errors of 0."""


@dataclass(frozen=True)
class Difference:
    """The difference between two AUROCs, proportions or means.

    Attributes:
        difference: first minus second, -1..1.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        p: two-sided p-value of no difference. NaN if it cannot be computed: fewer than two patients with a positive
            or with a negative, or two different values without any variance.
    """

    difference: float
    low: float
    high: float
    p: float


def difference(value: float, variance: float) -> Difference:
    """Return a difference of known variance with its Wald interval and test; NaN if `variance` is NaN."""
    if math.isnan(variance) or (variance <= ROUNDING and abs(value) > ROUNDING):
        return Difference(value, math.nan, math.nan, math.nan)
    if variance <= ROUNDING:
        return Difference(0.0, 0.0, 0.0, 1.0)
    error = math.sqrt(variance)
    reach = Z_95 * error
    return Difference(value, max(-1.0, value - reach), min(1.0, value + reach), float(2 * ndtr(-abs(value) / error)))
