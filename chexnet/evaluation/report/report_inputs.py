"""Compute a report from the files of predictions, labels and metadata."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chexnet.data.lists import CLASSES_FILE, check_classes, class_names, read_classes, read_list
from chexnet.errors import InputError
from chexnet.evaluation.class_mapping import ClassMapping, parse_mapping
from chexnet.evaluation.predictions import ImageSelection, read_predictions
from chexnet.evaluation.report.image_groups import read_groupings, read_names
from chexnet.evaluation.report.report_builder import Report, build_report
from chexnet.files import sha256

MAPPED = "the thresholds are those of findings that several outputs may share; predict.py needs one for each output"

FilePath = str | os.PathLike[str]


def report_from_files(
    predictions: FilePath,
    other: FilePath | None = None,
    labels: FilePath | None = None,
    validation: FilePath | None = None,
    classes: FilePath | None = None,
    *,
    label_classes: FilePath | None = None,
    mapping: Sequence[str] = (),
    map_rule: str = "max",
    only: FilePath | None = None,
    metadata: FilePath | None = None,
    by: Sequence[str] = (),
    skip_missing: bool = False,
) -> Report:
    """Compute a report from CSV files of predictions, see `chexnet.evaluation.predictions.read_predictions`.

    Args:
        predictions: the predictions that the report is about.
        other: a second model's predictions of the same images, to compare with.
        labels: list file of exactly these images; its labels replace those of the CSV files. With `only`, it may have
            more images.
        validation: predictions of other images with their own labels, to select thresholds and fit calibration on.
        classes: file with the names of the outputs, one per line; None for the 14.
        label_classes: file with the findings of `labels`, if they are not the outputs. None takes the `classes.txt`
            next to the list if there are mappings.
        mapping: mappings of outputs to findings of the list, see `chexnet.evaluation.class_mapping`.
        map_rule: rule that combines several outputs.
        only: list file of the images to evaluate; None for all.
        metadata: CSV file that `by` refers to.
        by: divisions of the images into groups, see `chexnet.evaluation.report.image_groups`.
        skip_missing: whether images of `only` without predictions, and images that `metadata` lacks, are left out;
            otherwise they are an error.

    Raises:
        InputError: a file cannot be read, or the images or labels of two files do not match.
    """
    outputs = class_names(classes)
    mapped = _read_mapping(labels, outputs, label_classes, mapping, map_rule)
    findings = mapped.findings if mapped else outputs
    image_list = read_list(labels, len(findings)) if labels else None
    if labels:
        check_classes(labels, findings)
    selection = ImageSelection(str(only), read_names(only), skip_missing) if only else None
    inputs = {
        "predictions": predictions,
        "second": other,
        "labels": labels,
        "validation": validation,
        "classes": classes,
        "classes of the labels": label_classes,
        "only": only,
        "metadata": metadata,
    }
    first = read_predictions(predictions, image_list, outputs, mapped, selection)
    notes = mapped.describe() if mapped else []
    if selection:
        notes.append(f"Limited to {len(first):,} of the {len(selection.names):,} images in {only}.")
    report = build_report(
        first,
        read_predictions(validation, None, outputs, mapped) if validation else None,
        read_predictions(other, image_list, outputs, mapped, selection) if other else None,
        audit=notes,
        run={"sha256": {f"{kind}, {path}": sha256(path) for kind, path in inputs.items() if path}},
        groupings=read_groupings(by, metadata, first.names, first.origin, skip_missing) if by else (),
        validation_sha256=sha256(validation) if validation else None,
    )
    return replace(report, thresholds=("", MAPPED)) if mapped and report.thresholds[0] else report


def _read_mapping(
    labels: FilePath | None,
    outputs: Sequence[str],
    label_classes: FilePath | None,
    mapping: Sequence[str],
    rule: str,
) -> ClassMapping | None:
    """Return the mapping of outputs to the findings of the list; None if the list has the outputs as classes."""
    if not mapping and not label_classes:
        return None
    if not labels:
        raise InputError("--map and --label_classes describe the findings of a list; also set --labels LIST")
    path = label_classes or Path(labels).with_name(CLASSES_FILE)
    if not label_classes and not Path(path).exists():
        raise InputError(
            f"--map: the findings of {labels} are unknown, expected {path}, or --label_classes FILE with one name per "
            "line"
        )
    return parse_mapping(mapping, outputs, read_classes(path), rule)
