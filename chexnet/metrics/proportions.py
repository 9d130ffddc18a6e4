"""Intervals of shares, and p-values of many tests."""

import math

import numpy as np

Z_95 = 1.959963984540054
"""97.5 % of a normal distribution lie below."""


def wilson(found: int, cases: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson, J. Am. Stat. Assoc. 22, 1927); two NaN where there are no cases.

    Example:
        >>> tuple(round(end, 4) for end in wilson(0, 10))
        (0.0, 0.2775)
    """
    if cases == 0:
        return math.nan, math.nan
    share = found / cases
    centre = share + Z_95**2 / (2 * cases)
    reach = Z_95 * math.sqrt(share * (1 - share) / cases + Z_95**2 / (4 * cases**2))
    scale = 1 + Z_95**2 / cases
    low = 0.0 if found == 0 else (centre - reach) / scale
    high = 1.0 if found == cases else (centre + reach) / scale
    return low, high


def holm(p: np.ndarray) -> np.ndarray:
    """p-values [K] of K tests -> adjusted ones: the family's error stays below the level at which they are read.

    Step-down, Holm, Scand. J. Stat. 6, 1979. NaN stay NaN and do not count as tests.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03]))
        array([0.03, 0.06, 0.06])
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN are sorted last
    steps = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * steps), 1)
    return adjusted
