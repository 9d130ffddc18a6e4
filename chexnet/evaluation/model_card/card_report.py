"""The parts of a report's metrics.json that a model card shows."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chexnet.errors import InputError
from chexnet.files.json_files import read_object

SCHEMA = 1
"""Schema of metrics.json, see `chexnet.evaluation.report.report_json`."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "undefined"
        interval = "" if math.isnan(self.low) else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{interval}"


@dataclass(frozen=True)
class FindingRow:
    """Results of one finding on the test images; None where nothing was fitted on validation images."""

    name: str
    positives: int
    negatives: int
    auroc: Estimate
    threshold: float | None
    sensitivity: Estimate | None
    specificity: Estimate | None
    ece: float
    calibrated_ece: float | None


@dataclass(frozen=True)
class GroupTable:
    """AUROC by group: `rows` has one entry per finding, with None for a group that is too small."""

    name: str
    source: str
    groups: tuple[str, ...]
    rows: dict[str, tuple[Estimate | None, ...]]


@dataclass(frozen=True)
class CardReport:
    """Results of an evaluation.

    Attributes:
        path: the file.
        source: list or file of the evaluated images.
        images, patients, unknown_patients: their numbers.
        mean: mean AUROC.
        classes: number of classes that the mean is over.
        findings: a row per class.
        validation: list or file that thresholds and calibration were fitted on; None if there was none.
        validation_images: number of its images.
        temperature: see `chexnet.metrics.calibration.fit_temperature`.
        notes: sentences on overlap and patients.
        groups: AUROC by groups of images.
        ckpt_sha256: checksum of the evaluated weights; None if unknown.
        members: number of checkpoints that were averaged.
        crops: crops per image; None if unknown.
        intervals: how the intervals of the AUROC were computed.
    """

    path: str
    source: str
    images: int
    patients: int
    unknown_patients: int
    mean: Estimate
    classes: int
    findings: tuple[FindingRow, ...]
    validation: str | None
    validation_images: int | None
    temperature: float | None
    notes: tuple[str, ...]
    groups: tuple[GroupTable, ...]
    ckpt_sha256: str | None
    members: int
    crops: Any
    intervals: str


def read_report(path: str | os.PathLike[str]) -> CardReport:
    """Read a metrics.json. Raises InputError if it cannot be read or is none of schema SCHEMA."""
    content = read_object(path)
    if content.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema is {repr(content.get('schema'))[:40]}, expected {SCHEMA} of a metrics.json")
    try:
        return _parse(content, str(path))
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not the metrics.json of a report: {type(error).__name__}: {error}") from error


def _parse(content: Mapping[str, Any], path: str) -> CardReport:
    run, calibration = content["run"], content["calibration"]
    return CardReport(
        path=path,
        source=_text(content["source"]),
        images=_count(content["images"]),
        patients=_count(content["patients"]),
        unknown_patients=_count(content["unknown_patients"]),
        mean=_estimate(content["mean"], "auroc"),
        classes=_count(content["mean"]["classes"]),
        findings=tuple(_row(_text(name), entry) for name, entry in content["classes"].items()),
        validation=_text(calibration["chosen_on"]) if "chosen_on" in calibration else None,
        validation_images=_count(calibration["images"]) if "images" in calibration else None,
        temperature=float(calibration["temperature"]) if "temperature" in calibration else None,
        notes=tuple(map(_text, content["audit"])),
        groups=tuple(map(_groups, content.get("groups", []))),
        ckpt_sha256=run.get("sha256", {}).get("ckpt"),
        members=len(run.get("members", [None])),
        crops=run.get("config", {}).get("crops"),
        intervals=_text(content["methods"]["auroc_ci"]),
    )


def _row(name: str, entry: Mapping[str, Any]) -> FindingRow:
    point = entry.get("operating_points", {}).get("youden")
    platt = entry.get("calibrated", {}).get("platt")
    return FindingRow(
        name=name,
        positives=_count(entry["positives"]),
        negatives=_count(entry["negatives"]),
        auroc=_estimate(entry, "auroc"),
        threshold=float(point["threshold"]) if point else None,
        sensitivity=_estimate(point, "sensitivity") if point else None,
        specificity=_estimate(point, "specificity") if point else None,
        ece=float(entry["ece"]),
        calibrated_ece=float(platt["ece"]) if platt else None,
    )


def _groups(content: Mapping[str, Any]) -> GroupTable:
    names = tuple(map(_text, content["groups"]))
    rows = {
        _text(finding): tuple(
            None if entry["groups"][name]["small"] else _estimate(entry["groups"][name], "auroc") for name in names
        )
        for finding, entry in content["classes"].items()
    }
    return GroupTable(_text(content["name"]), _text(content["source"]), names, rows)


def _estimate(entry: Mapping[str, Any], key: str) -> Estimate:
    low, high = entry[f"{key}_ci"]
    return Estimate(*(math.nan if value is None else float(value) for value in (entry[key], low, high)))


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{repr(value)[:40]} is not a number of images or patients")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{repr(value)[:40]} is not text")
    return value
