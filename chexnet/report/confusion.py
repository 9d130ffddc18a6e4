"""Findings that occur together, and those that are taken for each other."""

import numpy as np

from chexnet.metrics import auroc
from chexnet.predictions import Predictions


def together(labels: np.ndarray) -> np.ndarray:
    """Images that have both findings of each pair, int64 [C, C]; those that have one, in the diagonal."""
    labels = labels.astype(np.int64)
    return labels.T @ labels


def confusion(predictions: Predictions) -> np.ndarray:
    """How much a finding (row) that is there raises the probability of one that is not (column), float64 [C, C].

    The AUROC of the column's probability between the images that have the row's finding and not the column's, and
    those that have neither: 0.5 if it is not raised; near 1 the one is taken for the other. It needs no thresholds.
    NaN in the diagonal and where there are no such images.
    """
    labels = predictions.labels == 1
    classes = labels.shape[1]
    found = np.full((classes, classes), np.nan)
    for column in range(classes):
        absent = ~labels[:, column]
        scores = predictions.probabilities[absent, column]
        for row in set(range(classes)) - {column}:
            found[row, column] = auroc(labels[absent, row], scores)
    return found
