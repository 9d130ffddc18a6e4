"""From predictions to a report: what is computed, and what files it becomes."""

import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import chexnet
from chexnet import files
from chexnet.errors import InputError
from chexnet.predictions import Predictions
from chexnet.report import facts, page
from chexnet.report.confusion import confusion, together
from chexnet.report.contents import Report
from chexnet.report.scores import compare, score
from chexnet.report.transfer import Transfer, transfer
from chexnet.text_files import shorten_all
from chexnet.thresholds import format_thresholds

FILES = ("metrics.json", "predictions.csv", "report.html", "thresholds.json")
"""What may stand in the folder of a report."""

NO_VALIDATION = (
    "no validation set was given: thresholds and calibration are not chosen on the images they are judged on"
)


def build(
    predictions: Predictions,
    validation: Predictions | None = None,
    other: Predictions | None = None,
    audit: Sequence[str] = (),
    run: Mapping[str, Any] | None = None,
    ckpt_sha256: str | None = None,
    one_checkpoint: bool = True,
) -> Report:
    """Computes everything that a report says.

    Args:
        predictions: what it is about.
        validation: of other images by the same model, to choose thresholds and fit calibration on.
        other: a second model's, of the same images in any order.
        audit: sentences to be shown with what is found here.
        run: how the predictions came about, for JSON.
        ckpt_sha256: of the weights, if known, for the file of thresholds.
        one_checkpoint: whether the predictions are those of one checkpoint, for which alone predict.py has thresholds.

    Raises:
        InputError: `other` has other images or labels, or one of them other classes.
    """
    if validation and validation.classes != predictions.classes:
        raise InputError(
            f"{validation.source}: has the classes {shorten_all(validation.classes)}, expected those of "
            f"{predictions.source}, {shorten_all(predictions.classes)}"
        )
    if other:
        other = other.in_order_of(predictions)
        patients = min((predictions.patients, other.patients), key=lambda one: one.unknown)  # of the same images
        predictions, other = (replace(one, given_patients=patients) for one in (predictions, other))
    scores = score(predictions)
    fitted = transfer(validation, predictions) if validation else None
    other_scores = score(other) if other else None
    run = dict(run or {})
    return Report(
        predictions=predictions,
        scores=scores,
        transfer=fitted,
        other=other,
        other_scores=other_scores,
        comparison=compare(predictions, other, (scores, other_scores)) if other and other_scores else None,
        together=together(predictions.labels),
        confusion=confusion(predictions),
        audit=(*audit, *_audit(predictions, validation)),
        run=run,
        versions=_versions(),
        thresholds=_thresholds(fitted, run, ckpt_sha256, one_checkpoint),
    )


def check_folder(
    folder: str | os.PathLike[str], keep: Iterable[str | os.PathLike[str]], others: Iterable[str] = ()
) -> None:
    """Apply `chexnet.files.check_folder` to a report."""
    files.check_folder(folder, FILES, keep, others)


def write_report(report: Report, folder: str | os.PathLike[str]) -> None:
    """Writes `metrics.json`, `predictions.csv`, `report.html` and, if there are any, `thresholds.json`.

    Raises:
        InputError: see `chexnet.files.replacing_folder`.
    """
    texts = {
        "metrics.json": json.dumps(facts.of_report(report), indent=2, allow_nan=False) + "\n",
        "predictions.csv": report.predictions.to_csv(),
        "report.html": page.of_report(report),
    }
    if report.thresholds[0]:
        texts["thresholds.json"] = report.thresholds[0]
    with files.replacing_folder(folder, FILES) as new:
        for name, text in texts.items():
            files.write_text(new / name, text)


def format_report(report: Report, folder: str | os.PathLike[str]) -> str:
    """The lines for a person: the mean with its interval, what is undefined, the comparison, where all of it is."""
    mean = report.scores.mean
    classes = report.predictions.classes
    defined = len(classes) - len(report.scores.undefined)
    lines = [f"mean AUROC {mean.auroc:.4f} ({_interval(mean.low, mean.high)}) over {defined} of {len(classes)} classes"]
    if report.scores.undefined:
        lines.append(f"no AUROC, one kind of label only: {', '.join(report.scores.undefined)}")
    if report.comparison:
        gap = report.comparison.mean
        lines.append(
            f"first minus second, mean AUROC: {gap.difference:+.4f} ({_interval(gap.low, gap.high, signed='+')})"
        )
        for name, one, p in zip(classes, report.comparison.classes, report.comparison.adjusted, strict=True):
            if p < 0.05:
                lines.append(f"  {name}: {one.difference:+.4f}, p {p:.2g} after Holm")
    lines += [f"note: {line}" for line in report.audit]
    if not report.thresholds[0]:
        lines.append(f"no thresholds.json: {report.thresholds[1]}")
    lines.append(f"=> report: {os.path.join(folder, 'report.html')}")
    return "\n".join(lines)


def _interval(low: float, high: float, signed: str = "") -> str:
    return "no interval" if math.isnan(low) else f"95 % interval {low:{signed}.4f} to {high:{signed}.4f}"


def _audit(predictions: Predictions, validation: Predictions | None) -> list[str]:
    """What is known of the patients."""
    lines = [_patients(predictions)]
    if validation is None:
        return lines
    whose = validation.patients
    images = len(set(predictions.names) & set(validation.names))
    shared, _ = predictions.patients.met(whose.evidence)
    if images or shared:
        lines.append(
            f"The validation set shares {images:,} images and {len(shared):,} patients with the images that are "
            "scored: what was chosen on it looks better here than it is."
        )
    elif predictions.patients.unknown or whose.unknown:
        lines.append(
            "The validation set shares no image with the images that are scored; whether it shares patients is unknown."
        )
    else:
        lines.append("The validation set shares no image and no patient with the images that are scored.")
    return lines


def _patients(predictions: Predictions) -> str:
    """A sentence on whose images they are, as far as that is known."""
    patients = predictions.patients
    images = len(predictions)
    if not patients.unknown:
        return f"{images:,} images of {len(patients.known):,} patients, by {patients.source}; no image is there twice."
    told = f", the others are of {len(patients.known):,} patients" if patients.known else ""
    return (
        f"The patients of {patients.unknown:,} of these {images:,} images are unknown{told}. Each of them counts "
        "as a patient of its own; if some are of one patient, the intervals are too narrow. A column `patient` in the "
        "file, or a file of patients beside the list, tells the patients."
    )


def _thresholds(
    fitted: Transfer | None, run: Mapping[str, Any], ckpt_sha256: str | None, one_checkpoint: bool
) -> tuple[str, str]:
    if fitted is None:
        return "", NO_VALIDATION
    if not one_checkpoint:
        return "", "predict.py uses one checkpoint; those of the average of several mean nothing for it"
    crops = run.get("config", {}).get("crops")
    chosen = fitted.thresholds(f", {crops} crop{'s' * (crops > 1)}" if crops else "")
    if chosen is None:
        return "", f"the validation set has one kind of label only for {', '.join(fitted.left_out)}"
    return format_thresholds(replace(chosen, ckpt_sha256=ckpt_sha256, crops=crops)), ""


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("numpy", "scipy", "scikit-learn")}
    return {"chexnet": chexnet.__version__, "python": platform.python_version(), **packages}
