"""Confidence intervals of proportions, and p-values of multiple tests."""

import math

import numpy as np

from chexnet.metrics.differences import Z_95


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson, J. Am. Stat. Assoc. 22, 1927); two NaN without trials.

    Example:
        >>> tuple(round(end, 4) for end in wilson(0, 10))
        (0.0, 0.2775)
    """
    if trials == 0:
        return math.nan, math.nan
    # SciPy's binomtest would also compute the p-value of a test, which takes a thousand times as long.
    proportion, twice = successes / trials, 2 * (trials + Z_95**2)
    center = (2 * trials * proportion + Z_95**2) / twice
    half = Z_95 / twice * math.sqrt(4 * trials * proportion * (1 - proportion) + Z_95**2)
    return (center - half if successes else 0.0), (center + half if successes < trials else 1.0)


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust the p-values [K] of K tests to control the family-wise error rate.

    This is the step-down method of Holm, Scand. J. Stat. 6, 1979. NaN remain NaN and do not count as tests. SciPy has
    only corrections of the false discovery rate.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03]))
        array([0.03, 0.06, 0.06])
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN are sorted last
    steps = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * steps), 1)
    return adjusted
