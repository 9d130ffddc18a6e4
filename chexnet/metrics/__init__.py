"""AUROC, confidence intervals, operating points and calibration: functions of NumPy arrays.

The package itself exports the AUROC, which needs only NumPy. The submodules hold the rest:

    delong            confidence interval of the AUROC, paired test of two models
    bootstrap         intervals from resampled patients
    operating_points  thresholds and their confusion counts
    calibration       reliability diagrams, fits of temperature and Platt scaling
    platt             fitted Platt scaling, applied; needs only NumPy
    proportions       confidence intervals of proportions, correction for multiple tests
"""

from chexnet.metrics.auroc import UndefinedAUROCWarning, auroc, class_aurocs, mean_auroc

__all__ = ["UndefinedAUROCWarning", "auroc", "class_aurocs", "mean_auroc"]
