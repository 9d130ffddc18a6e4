"""What a report holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chexnet.predictions import Predictions
from chexnet.report.scores import Comparison, Scores
from chexnet.report.transfer import Transfer


@dataclass(frozen=True)
class Report:
    """What is known of a set of predictions.

    Attributes:
        predictions: it.
        scores: how good they are.
        transfer: what the validation images gave; None without any.
        other: a second set of predictions of the same images in the same order, if there is one.
        other_scores: how good these are.
        comparison: the first beside the second.
        together: images with both findings of each pair, int64 [C, C].
        confusion: findings taken for each other, float64 [C, C].
        audit: sentences on images and patients that should be known of.
        run: how the predictions came about, for JSON: configuration, checksums, engine.
        versions: of the programs that computed the report.
        thresholds: the text of a file for predict.py, and why there is none if it is empty.
    """

    predictions: Predictions
    scores: Scores
    transfer: Transfer | None
    other: Predictions | None
    other_scores: Scores | None
    comparison: Comparison | None
    together: np.ndarray
    confusion: np.ndarray
    audit: tuple[str, ...]
    run: Mapping[str, Any]
    versions: Mapping[str, str]
    thresholds: tuple[str, str]
