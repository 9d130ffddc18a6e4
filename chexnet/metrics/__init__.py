"""AUROC, confidence intervals, operating points and calibration: arrays in, values out.

This package offers the AUROC, which needs NumPy alone. The submodules hold the rest: `delong` for its confidence
interval and the paired test, `bootstrap` for intervals from resampled patients, `operating` for thresholds and their
confusion counts, `calibration` for reliability, and `proportions` for intervals of proportions and multiple tests.
"""

from chexnet.metrics.auroc import UndefinedAUROCWarning, auroc, class_aurocs, mean_auroc

__all__ = ["UndefinedAUROCWarning", "auroc", "class_aurocs", "mean_auroc"]
