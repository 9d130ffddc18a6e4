"""AUROC, confidence intervals, operating points and calibration: functions of NumPy arrays.

The package itself exports the AUROC, which needs only NumPy. The submodules hold the rest:

    delong            confidence interval of the AUROC, paired test of two models
    placements        covariance of AUROCs: of two models, two groups of images or two sets of labels
    clustered_means   means and proportions with patients as clusters
    differences       difference of two estimates with its interval and test
    bootstrap         intervals from resampled patients
    operating_points  thresholds and their confusion counts
    calibration       reliability diagrams, fits of temperature and Platt scaling
    platt             fitted Platt scaling, applied; needs only NumPy
    sample_size       difference in AUROC that a list can show, and images that a difference needs
    simulated_power   check of such a plan by simulation
    kappa             agreement of two sets of labels
    proportions       confidence intervals of proportions, correction for multiple tests
"""

from chexnet.metrics.auroc import UndefinedAUROCWarning, auroc, class_aurocs, mean_auroc

__all__ = ["UndefinedAUROCWarning", "auroc", "class_aurocs", "mean_auroc"]
