"""Findings that occur together, and findings that raise each other's scores."""

import numpy as np

from chexnet.evaluation.predictions import Predictions
from chexnet.metrics import auroc


def cooccurrence(labels: np.ndarray) -> np.ndarray:
    """Count the images that have both findings of each pair.

    Args:
        labels: [N, C], 0 or 1.

    Returns:
        int64 [C, C]; the diagonal counts the images with one finding.
    """
    labels = labels.astype(np.int64)
    return labels.T @ labels


def cross_finding_auroc(predictions: Predictions) -> np.ndarray:
    """Measure how much a present finding (row) raises the score of an absent one (column).

    An entry is the AUROC of the column's probability between images that have the row's finding but not the column's,
    and images that have neither: 0.5 if the row has no effect, near 1 if it is mistaken for the column. It needs no
    thresholds.

    Returns:
        float64 [C, C]; NaN on the diagonal and where there are no such images.
    """
    labels = predictions.labels == 1
    classes = labels.shape[1]
    areas = np.full((classes, classes), np.nan)
    for column in range(classes):
        absent = ~labels[:, column]
        scores = predictions.probabilities[absent, column]
        for row in set(range(classes)) - {column}:
            areas[row, column] = auroc(labels[absent, row], scores)
    return areas
