"""AUROC, confidence intervals, operating points and calibration: functions of NumPy arrays.

The package itself exports the AUROC, which needs only NumPy. The submodules hold the rest:

    delong            confidence interval of the AUROC, paired test of two models
    placements        covariance of AUROCs: of two models, two groups of images or two sets of labels
    clustered_means   means and proportions with patients as clusters
    differences       difference of two estimates with its interval and test
    bootstrap         intervals from resampled patients
    operating_points  thresholds and their confusion counts
    calibration       reliability diagrams, temperature and Platt scaling
    planning          number of images for a difference in AUROC, and the reverse
    proportions       confidence intervals of proportions, correction for multiple tests
"""

from chexnet.metrics.auroc import UndefinedAUROCWarning, auroc, class_aurocs, mean_auroc

__all__ = ["UndefinedAUROCWarning", "auroc", "class_aurocs", "mean_auroc"]
