"""How well probabilities rank findings: arrays in, values out."""

import warnings

import numpy as np
from sklearn.metrics import roc_auc_score


class UndefinedAUROCWarning(UserWarning):
    """A class has no positives or no negatives, so it has no AUROC."""


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive outscores a negative, ties counted half.

    Args:
        labels: [N], 0 or 1.
        scores: [N], finite; any monotone scale.

    Returns:
        A value in 0..1, or NaN where `labels` holds one kind only.

    Raises:
        ValueError: a score is not finite, or the lengths differ.

    Example:
        >>> auroc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
        0.75
    """
    if len(labels) == 0 or np.all(labels == labels[0]):
        return float("nan")
    return float(roc_auc_score(labels, scores))


def class_aurocs(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The AUROC of each class: [N, C] labels and scores -> float64 [C], NaN where undefined.

    Raises:
        ValueError: a score is not finite, or the shapes differ.
    """
    if labels.shape != scores.shape:
        raise ValueError(f"labels {labels.shape} and scores {scores.shape} differ in shape")
    return np.array([auroc(labels[:, c], scores[:, c]) for c in range(labels.shape[1])])


def mean_auroc(aurocs: np.ndarray) -> float:
    """The mean over the classes that have an AUROC; NaN if none has.

    Warns:
        UndefinedAUROCWarning: some class was left out, with how many.
    """
    defined = aurocs[~np.isnan(aurocs)]
    if len(defined) < len(aurocs):
        message = f"mean AUROC over {len(defined)} of {len(aurocs)} classes: the others lack positives or negatives"
        warnings.warn(message, UndefinedAUROCWarning, stacklevel=2)
    return float(defined.mean()) if len(defined) else float("nan")
