"""What is chosen or fitted on validation images and then applied to others: thresholds and calibration."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit

from chexnet.metrics.calibration import (
    Bin,
    brier,
    expected_error,
    fit_platt,
    fit_temperature,
    reliability,
    to_logits,
)
from chexnet.metrics.operating import RULES, Decisions, choose, decide
from chexnet.predictions import Predictions
from chexnet.thresholds import OperatingPoint, Thresholds

WRITTEN_RULE = "youden"
"""The rule whose thresholds become a file for predict.py."""


@dataclass(frozen=True)
class Point:
    """An operating point, where it was chosen and where it was applied."""

    chosen: Decisions
    applied: Decisions


@dataclass(frozen=True)
class Calibrated:
    """Probabilities of one class after a calibration, on the images that it was not fitted on."""

    bins: list[Bin]
    ece: float
    brier: float


@dataclass(frozen=True)
class Transfer:
    """What the validation images gave.

    Attributes:
        source: where they are from.
        images: how many.
        points: by rule and class; None for a class with one kind of label among them.
        temperature: that all logits are divided by.
        platt: slope and offset of each class; None as in `points`.
        by_temperature: each class after it.
        by_platt: likewise; None as in `points`.
    """

    source: str
    images: int
    points: dict[str, dict[str, Point | None]]
    temperature: float
    platt: dict[str, tuple[float, float] | None]
    by_temperature: dict[str, Calibrated]
    by_platt: dict[str, Calibrated | None]

    @property
    def left_out(self) -> list[str]:
        """Classes with one kind of label among the validation images: for them nothing can be chosen."""
        return [name for name, point in self.points[WRITTEN_RULE].items() if point is None]

    def thresholds(self, more: str = "") -> Thresholds | None:
        """For predict.py; None unless all classes have one.

        Args:
            more: is added to how they were chosen, such as the number of crops.
        """
        points = {}
        for name, point in self.points[WRITTEN_RULE].items():
            if point is None:
                return None
            chosen = point.chosen
            points[name] = OperatingPoint(chosen.threshold, chosen.sensitivity.value, chosen.specificity.value)
        return Thresholds(f"{RULES[WRITTEN_RULE].words} on {Path(self.source).name}{more}", points)


def transfer(validation: Predictions, test: Predictions) -> Transfer:
    """Chooses and fits on the first, applies to the second."""
    columns = {
        name: (validation.labels[:, c], validation.probabilities[:, c], test.labels[:, c], test.probabilities[:, c])
        for c, name in enumerate(test.classes)
    }
    both_kinds = {name: 0 < labels.sum() < len(labels) for name, (labels, *_) in columns.items()}
    temperature = fit_temperature(validation.labels, validation.probabilities)
    platt = {
        name: fit_platt(labels, probabilities) if both_kinds[name] else None
        for name, (labels, probabilities, *_) in columns.items()
    }
    return Transfer(
        source=validation.source,
        images=len(validation),
        points={
            rule: {name: _point(*columns[name], rule) if both_kinds[name] else None for name in columns}
            for rule in RULES
        },
        temperature=temperature,
        platt=platt,
        by_temperature={
            name: _calibrated(labels, probabilities, 1 / temperature, 0.0)
            for name, (_, _, labels, probabilities) in columns.items()
        },
        by_platt={
            name: _calibrated(labels, probabilities, *fitted) if (fitted := platt[name]) else None
            for name, (_, _, labels, probabilities) in columns.items()
        },
    )


def _point(
    labels: np.ndarray, probabilities: np.ndarray, test_labels: np.ndarray, test: np.ndarray, rule: str
) -> Point:
    threshold = choose(labels, probabilities, rule)
    return Point(decide(labels, probabilities, threshold), decide(test_labels, test, threshold))


def _calibrated(labels: np.ndarray, probabilities: np.ndarray, slope: float, offset: float) -> Calibrated:
    mended = expit(slope * to_logits(probabilities) + offset)
    bins = reliability(labels, mended)
    return Calibrated(bins, expected_error(bins), brier(labels, mended))
