"""From predictions to a report: what is computed, and what files it becomes."""

import json
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
            f"{validation.source}: has the classes {', '.join(validation.classes)}, expected those of "
            f"{predictions.source}, {', '.join(predictions.classes)}"
        )
    scores = score(predictions)
    fitted = transfer(validation, predictions) if validation else None
    other = other.in_order_of(predictions) if other else None
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
    lines = [
        f"mean AUROC {mean.auroc:.4f} (95 % interval {mean.low:.4f} to {mean.high:.4f}) over {defined} of "
        f"{len(classes)} classes"
    ]
    if report.scores.undefined:
        lines.append(f"no AUROC, one kind of label only: {', '.join(report.scores.undefined)}")
    if report.comparison:
        gap = report.comparison.mean
        lines.append(
            f"first minus second, mean AUROC: {gap.difference:+.4f} (95 % interval {gap.low:+.4f} to {gap.high:+.4f})"
        )
        for name, one, p in zip(classes, report.comparison.classes, report.comparison.adjusted, strict=True):
            if p < 0.05:
                lines.append(f"  {name}: {one.difference:+.4f}, p {p:.2g} after Holm")
    lines += [f"note: {line}" for line in report.audit]
    if not report.thresholds[0]:
        lines.append(f"no thresholds.json: {report.thresholds[1]}")
    lines.append(f"=> report: {os.path.join(folder, 'report.html')}")
    return "\n".join(lines)


def _audit(predictions: Predictions, validation: Predictions | None) -> list[str]:
    """What the names of the images tell."""
    patients = predictions.patients
    number = len(set(patients))
    lines = [f"{len(patients):,} images of {number:,} patients, by the images' names; no image stands there twice."]
    if number == len(patients):
        lines.append("No name shows that two images are of one patient; if some are, the intervals are too narrow.")
    if validation is not None:
        images = len(set(predictions.names) & set(validation.names))
        shared = set(patients) & set(validation.patients)
        if images or shared:
            lines.append(
                f"The validation set shares {images:,} images and {len(shared):,} patients with the images that are "
                "scored: what was chosen on it looks better here than it is."
            )
        else:
            lines.append("The validation set shares no image and no patient with the images that are scored.")
    return lines


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
