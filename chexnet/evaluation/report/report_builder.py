"""Compute a report from predictions."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np

import chexnet
from chexnet.config.crops import format_crops
from chexnet.errors import InputError
from chexnet.evaluation.predictions import Predictions
from chexnet.evaluation.report.class_scores import Comparison, Scores, compare_predictions, score_predictions
from chexnet.evaluation.report.cross_finding import cooccurrence, cross_finding_auroc
from chexnet.evaluation.report.group_scores import GroupResults, score_groups
from chexnet.evaluation.report.image_groups import Grouping
from chexnet.evaluation.report.validation_fit import ValidationFit, fit_on_validation
from chexnet.files.text_files import shorten_all
from chexnet.inference.thresholds import format_thresholds

NO_VALIDATION = (
    "no validation set was given; thresholds and calibration are never fitted on the images they are evaluated on"
)


@dataclass(frozen=True)
class Report:
    """Everything that is computed from a set of predictions.

    Attributes:
        predictions: the predictions that the report is about.
        scores: their scores.
        validation_fit: results of fitting on the validation set; None without one.
        other: a second model's predictions of the same images in the same order, or None.
        other_scores: scores of `other`.
        comparison: differences between the two, first minus second.
        groups: results by groups of the images, one per grouping.
        cooccurrence: number of images with both findings of each pair, int64 [C, C].
        cross_finding_auroc: how much a present finding raises the score of an absent one, float64 [C, C].
        audit: sentences on images and patients that a reader should know.
        run: how the predictions were made, ready for JSON: configuration, checksums, engine.
        versions: versions of the software that computed the report.
        thresholds: text of the threshold file for predict.py, and if it is empty the reason why.
    """

    predictions: Predictions
    scores: Scores
    validation_fit: ValidationFit | None
    other: Predictions | None
    other_scores: Scores | None
    comparison: Comparison | None
    groups: tuple[GroupResults, ...]
    cooccurrence: np.ndarray
    cross_finding_auroc: np.ndarray
    audit: tuple[str, ...]
    run: Mapping[str, Any]
    versions: Mapping[str, str]
    thresholds: tuple[str, str]


def build_report(
    predictions: Predictions,
    validation: Predictions | None = None,
    other: Predictions | None = None,
    audit: Sequence[str] = (),
    run: Mapping[str, Any] | None = None,
    ckpt_sha256: str | None = None,
    one_checkpoint: bool = True,
    validation_sha256: str | None = None,
    groupings: Sequence[Grouping] = (),
) -> Report:
    """Compute a report.

    Args:
        predictions: the predictions that the report is about.
        validation: the same model's predictions of other images, to select thresholds and fit calibration on.
        other: a second model's predictions of the same images, in any order.
        audit: sentences to show next to those found here.
        run: how the predictions were made, ready for JSON.
        ckpt_sha256: checksum of the weights for the threshold file, if known.
        one_checkpoint: whether one checkpoint made the predictions; predict.py cannot use thresholds of an ensemble.
        validation_sha256: checksum of the list or file of the validation predictions, for the threshold file.
        groupings: divisions of the images of `predictions` into groups.

    Raises:
        InputError: `other` has other images or labels, or one of the sets has other classes.
    """
    if validation and validation.classes != predictions.classes:
        raise InputError(
            f"{validation.origin}: has the classes {shorten_all(validation.classes)}, expected those of "
            f"{predictions.origin}, {shorten_all(predictions.classes)}"
        )
    if other:
        other = other.align_to(predictions)
        # The images are the same, so the patients that one file knows hold for both.
        patients = min((predictions.patients, other.patients), key=lambda known: known.unknown)
        predictions, other = (replace(given, given_patients=patients) for given in (predictions, other))
    scores = score_predictions(predictions)
    fitted = fit_on_validation(validation, predictions) if validation else None
    other_scores = score_predictions(other) if other else None
    run = dict(run or {})
    return Report(
        predictions=predictions,
        scores=scores,
        validation_fit=fitted,
        other=other,
        other_scores=other_scores,
        comparison=compare_predictions(predictions, other, (scores, other_scores)) if other and other_scores else None,
        groups=tuple(score_groups(predictions, grouping, fitted) for grouping in groupings),
        cooccurrence=cooccurrence(predictions.labels),
        cross_finding_auroc=cross_finding_auroc(predictions),
        audit=(*audit, _describe_patients(predictions), *_describe_overlap(predictions, validation)),
        run=run,
        versions={
            "chexnet": chexnet.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
        },
        thresholds=_thresholds(fitted, run, one_checkpoint, ckpt_sha256, validation_sha256),
    )


def _describe_patients(predictions: Predictions) -> str:
    patients = predictions.patients
    images, known = len(predictions), len(patients.known)
    if not patients.unknown:
        return f"{images:,} images of {known:,} patients, identified by {patients.source}; no image occurs twice."
    others = f"; the other images are of {known:,} patients" if known else ""
    return (
        f"The patients of {patients.unknown:,} of these {images:,} images are unknown{others}. Each image of an "
        "unknown patient counts as a separate patient, so the intervals are too narrow if some of them share a "
        "patient. A column `patient` in the CSV file, or a patient file next to the list, identifies them."
    )


def _describe_overlap(predictions: Predictions, validation: Predictions | None) -> list[str]:
    if validation is None:
        return []
    images = len(set(predictions.names) & set(validation.names))
    shared, _ = predictions.patients.matching(validation.patients.identifiers)
    if images or shared:
        return [
            f"The validation set shares {images:,} images and {len(shared):,} patients with the evaluated images, so "
            "results of thresholds and calibration fitted on it are too good here."
        ]
    if predictions.patients.unknown or validation.patients.unknown:
        return ["The validation set shares no image with the evaluated images; whether it shares patients is unknown."]
    return ["The validation set shares no image and no patient with the evaluated images."]


def _thresholds(
    fitted: ValidationFit | None,
    run: Mapping[str, Any],
    one_checkpoint: bool,
    ckpt_sha256: str | None,
    validation_sha256: str | None,
) -> tuple[str, str]:
    """Return the text of the threshold file, and if it is empty the reason why."""
    if fitted is None:
        return "", NO_VALIDATION
    if not one_checkpoint:
        return "", "predict.py uses one checkpoint; thresholds of an ensemble do not apply to it"
    crops = run.get("config", {}).get("crops")
    thresholds = fitted.thresholds(f", {format_crops(crops)}" if crops else "")
    if thresholds is None:
        return "", f"the validation set has only positives or only negatives for {', '.join(fitted.left_out)}"
    known = replace(thresholds, ckpt_sha256=ckpt_sha256, crops=crops, validation_sha256=validation_sha256)
    return format_thresholds(known), ""
