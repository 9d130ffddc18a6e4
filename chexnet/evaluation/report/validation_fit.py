"""Thresholds and calibration that are fitted on validation images and evaluated on test images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.errors import printable
from chexnet.evaluation.predictions import Predictions
from chexnet.inference.thresholds import OperatingPoint, Thresholds
from chexnet.metrics.calibration import (
    Bin,
    brier,
    expected_calibration_error,
    fit_platt,
    fit_temperature,
    reliability,
)
from chexnet.metrics.operating_points import RULES, ConfusionCounts, confusion_at_threshold, select_threshold
from chexnet.metrics.platt import PlattScaling

WRITTEN_RULE = "youden"
"""The rule whose thresholds are written to the file for predict.py."""


@dataclass(frozen=True)
class OperatingPointResult:
    """Confusion counts of one threshold on the validation images, where it was selected, and on the test images."""

    validation: ConfusionCounts
    test: ConfusionCounts


@dataclass(frozen=True)
class CalibrationResult:
    """Calibrated probabilities of one class, evaluated on the test images."""

    bins: list[Bin]
    ece: float
    brier: float


@dataclass(frozen=True)
class ValidationFit:
    """Everything that was fitted on the validation images.

    Attributes:
        origin: list or file of the validation predictions.
        images: number of validation images.
        points: results by rule and class; None for a class with only positive or only negative validation labels.
        temperature: divisor of all logits.
        platt: slope and offset of the logit per class; None as in `points`.
        by_temperature: results of temperature scaling per class.
        by_platt: results of Platt scaling per class; None as in `points`.
    """

    origin: str
    images: int
    points: dict[str, dict[str, OperatingPointResult | None]]
    temperature: float
    platt: dict[str, tuple[float, float] | None]
    by_temperature: dict[str, CalibrationResult]
    by_platt: dict[str, CalibrationResult | None]

    @property
    def left_out(self) -> list[str]:
        """Classes with only positive or only negative validation labels, for which nothing can be fitted."""
        return [name for name, point in self.points[WRITTEN_RULE].items() if point is None]

    def thresholds(self, suffix: str = "") -> Thresholds | None:
        """Return the thresholds and the calibration for predict.py, or None unless every class has a threshold.

        A class whose Platt scaling is not usable, because its slope is not above 0, is left out of the calibration.

        Args:
            suffix: appended to the description of how they were selected, for example the number of crops.
        """
        points = {}
        for name, point in self.points[WRITTEN_RULE].items():
            if point is None:
                return None
            counts = point.validation
            points[name] = OperatingPoint(counts.threshold, counts.sensitivity.value, counts.specificity.value)
        name = printable(Path(self.origin).name)
        scalings = {finding: PlattScaling(*fitted) for finding, fitted in self.platt.items() if fitted}
        return Thresholds(
            f"{RULES[WRITTEN_RULE].description} on {name}{suffix}",
            points,
            calibration={finding: scaling for finding, scaling in scalings.items() if scaling.is_usable},
            temperature=self.temperature,
            validation_list=name,
            validation_images=self.images,
        )


def fit_on_validation(validation: Predictions, test: Predictions) -> ValidationFit:
    """Select thresholds and fit calibration on the validation set, then evaluate both on the test set."""
    columns = {
        name: (validation.labels[:, c], validation.probabilities[:, c], test.labels[:, c], test.probabilities[:, c])
        for c, name in enumerate(test.classes)
    }
    has_both = {name: 0 < labels.sum() < len(labels) for name, (labels, *_) in columns.items()}
    temperature = fit_temperature(validation.labels, validation.probabilities)
    platt = {
        name: fit_platt(labels, probabilities) if has_both[name] else None
        for name, (labels, probabilities, *_) in columns.items()
    }
    return ValidationFit(
        origin=validation.origin,
        images=len(validation),
        points={
            rule: {name: _evaluate_rule(*columns[name], rule) if has_both[name] else None for name in columns}
            for rule in RULES
        },
        temperature=temperature,
        platt=platt,
        by_temperature={
            name: _calibrate(labels, probabilities, 1 / temperature, 0.0)
            for name, (_, _, labels, probabilities) in columns.items()
        },
        by_platt={
            name: _calibrate(labels, probabilities, *fitted) if (fitted := platt[name]) else None
            for name, (_, _, labels, probabilities) in columns.items()
        },
    )


def _evaluate_rule(
    labels: np.ndarray, probabilities: np.ndarray, test_labels: np.ndarray, test: np.ndarray, rule: str
) -> OperatingPointResult:
    threshold = select_threshold(labels, probabilities, rule)
    return OperatingPointResult(
        confusion_at_threshold(labels, probabilities, threshold), confusion_at_threshold(test_labels, test, threshold)
    )


def _calibrate(labels: np.ndarray, probabilities: np.ndarray, slope: float, offset: float) -> CalibrationResult:
    calibrated = PlattScaling(slope, offset).apply(probabilities)
    bins = reliability(labels, calibrated)
    return CalibrationResult(bins, expected_calibration_error(bins), brier(labels, calibrated))
