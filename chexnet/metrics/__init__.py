"""How good probabilities are: arrays in, values out.

Here is the AUROC, which needs NumPy alone. The submodules hold the rest: `delong` its interval and the paired test,
`bootstrap` intervals by resampling patients, `operating` thresholds and what they decide, `calibration` whether
probabilities are frequencies, `proportions` intervals of shares.
"""

from chexnet.metrics.ranking import UndefinedAUROCWarning, auroc, class_aurocs, mean_auroc

__all__ = ["UndefinedAUROCWarning", "auroc", "class_aurocs", "mean_auroc"]
