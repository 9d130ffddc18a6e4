"""Operating points and calibration per finding, fitted on a validation set and stored next to a checkpoint."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from chexnet._types import LogFn
from chexnet.config.crops import CROPS_TEXT, Crops, is_valid_crops
from chexnet.errors import InputError
from chexnet.files.json_files import read_json
from chexnet.inference.threshold_entries import PROBABILITIES, check_entry_names, read_calibration, read_numbers
from chexnet.labels import CLASS_NAMES
from chexnet.metrics.platt import PlattScaling

SCHEMA = 1
"""Version of the file format, to be increased when its meaning changes."""


@dataclass(frozen=True)
class OperatingPoint:
    """Decision threshold of a finding.

    Attributes:
        threshold: lowest probability at which the finding is called present, 0..1.
        sensitivity: proportion of images with the finding that were called present, on the images used for selection.
        specificity: proportion of images without the finding that were called absent, on the same images.
    """

    threshold: float
    sensitivity: float
    specificity: float

    def decides(self, probability: float) -> bool:
        """Return True if the finding is called present."""
        return probability >= self.threshold


_POINT_RANGES = {field.name: PROBABILITIES for field in fields(OperatingPoint)}


@dataclass(frozen=True)
class Thresholds:
    """Content of a threshold file.

    Attributes:
        chosen: description of the selection rule and of the images used for selection.
        points: finding -> operating point, in the order of the network's classes.
        ckpt_sha256: SHA-256 of the weights that the thresholds belong to; None if the file does not contain it.
        crops: crops per image during selection; None if unknown.
        calibration: finding -> Platt scaling, in the order of the network's classes, without the findings that it could
            not be fitted for; None if the file has no calibration.
        temperature: divisor of all logits that fits all findings together, for comparison; None if unknown.
        validation_list: name of the list or file of predictions that the calibration was fitted on.
        validation_images: number of its images.
        validation_sha256: SHA-256 of that file; None if unknown.
    """

    chosen: str
    points: dict[str, OperatingPoint]
    ckpt_sha256: str | None = None
    crops: Crops | None = None
    calibration: dict[str, PlattScaling] | None = None
    temperature: float | None = None
    validation_list: str | None = None
    validation_images: int | None = None
    validation_sha256: str | None = None

    @property
    def uncalibrated(self) -> list[str]:
        """Findings without a calibration."""
        return [name for name in self.points if name not in (self.calibration or {})]


def thresholds_path(ckpt: str | os.PathLike[str]) -> Path:
    """Return the path of a checkpoint's own threshold file: `best_model.pdparams` -> `best_model.thresholds.json`."""
    return Path(ckpt).with_suffix(".thresholds.json")


def find_thresholds(
    path: str | None,
    ckpt: str | os.PathLike[str],
    ckpt_sha256: str,
    classes: Sequence[str],
    crops: Crops,
    log: LogFn,
) -> tuple[str, Thresholds] | None:
    """Read the operating points of a run, from the given file or else from the checkpoint's own file, if it exists.

    Args:
        path: threshold file from the user; None for the checkpoint's own.
        ckpt: the weight file.
        ckpt_sha256: see `read_thresholds`.
        classes: see `read_thresholds`.
        crops: crops per image in this run.
        log: receives lines about the file and its weaknesses.

    Returns:
        Path and content of the file, or None if there is no file.

    Raises:
        InputError: see `read_thresholds`; or the checkpoint's own file has no `ckpt_sha256`.
    """
    own = path is None
    if path is None:
        path = str(thresholds_path(ckpt))
        if not Path(path).exists():
            return None
    thresholds = read_thresholds(path, ckpt_sha256, classes)
    if thresholds.ckpt_sha256 is None:
        if own:
            raise InputError(f"{path}: has no ckpt_sha256, expected that of {ckpt}; or pass it with --thresholds")
        log(f"=> warning: {path}: has no ckpt_sha256; thresholds are only valid for the weights they were selected for")
    log(f"=> thresholds of {path}: {thresholds.chosen or 'unknown selection rule'}")
    if thresholds.crops not in (None, crops):
        log(f"=> they were selected with --crops {thresholds.crops}; decisions with --crops {crops} differ slightly")
    return path, thresholds


def read_thresholds(
    path: str | os.PathLike[str], ckpt_sha256: str | None, classes: Sequence[str] = CLASS_NAMES
) -> Thresholds:
    """Read a file of operating points: JSON, such as

        {"schema": 1, "chosen": "highest Youden index on val_list.txt", "ckpt_sha256": "4a5f...",
         "thresholds": {"Atelectasis": {"threshold": 0.21, "sensitivity": 0.8, "specificity": 0.72}, ...}}

    with all classes. `ckpt_sha256`, the checksum of the weights that the thresholds were selected for, and `crops`, the
    crops per image (10, 1 or "dense"), are optional. So is

        "calibration": {"list": "val_list.txt", "images": 307, "sha256": "9c1e...", "temperature": 1.31,
                        "platt": {"Atelectasis": {"slope": 0.9, "offset": -1.2}, ...}, "left_out": ["Hernia"]}

    whose `platt` and `left_out` together have all classes; `temperature` and `sha256` may be null.

    Args:
        path: the file.
        ckpt_sha256: SHA-256 of the weights in use, see `chexnet.model.Checkpoint`; None skips the comparison.
        classes: names of the network's outputs.

    Raises:
        InputError: the file cannot be read, is not a threshold file, or belongs to other classes or weights; or a
            number is outside its range, or `crops` is not one of `chexnet.config.crops.CROPS`.
    """
    content = read_json(path)
    if (
        not isinstance(content, dict)
        or content.get("schema") != SCHEMA
        or not isinstance(content.get("thresholds"), dict)
    ):
        raise InputError(f'{path}: not a threshold file, expected "schema": {SCHEMA} and "thresholds": {{...}}')
    entries = content["thresholds"]
    check_entry_names(entries, classes, f"{path}")
    crops = content.get("crops")
    if crops is not None and not is_valid_crops(crops):
        raise InputError(f"{path}: crops is {repr(crops)[:60]}, expected {CROPS_TEXT}")
    expected, chosen = content.get("ckpt_sha256"), content.get("chosen", "")
    if not isinstance(expected, str | None) or not isinstance(chosen, str) or not chosen.isprintable():
        raise InputError(
            f"{path}: 'chosen' and 'ckpt_sha256' are {repr((chosen, expected))[:80]}, expected strings of one line"
        )
    if expected and ckpt_sha256 not in (None, expected):
        raise InputError(
            f"{path}: chosen for weights with SHA-256 {expected[:64]}, the weights in use have {ckpt_sha256}; "
            "thresholds are only valid for their own weights: choose new ones"
        )
    points = {name: OperatingPoint(*read_numbers(entries[name], _POINT_RANGES, f"{path}: {name}")) for name in classes}
    calibration = read_calibration(content["calibration"], classes, path) if "calibration" in content else {}
    return Thresholds(chosen, points, expected or None, crops, **calibration)


def require_calibration(
    found: tuple[str, Thresholds] | None, ckpt: str | os.PathLike[str], log: LogFn
) -> dict[str, PlattScaling]:
    """Return the calibration of a run that asks for calibrated probabilities.

    Args:
        found: result of `find_thresholds`.
        ckpt: the weight file.
        log: receives a line with the images that the calibration was fitted on, and the findings without one.

    Raises:
        InputError: there is no threshold file, or it calibrates no finding.
    """
    path, thresholds = found or (str(thresholds_path(ckpt)), None)
    if thresholds is None or not thresholds.calibration:
        what = "does not exist" if thresholds is None else "calibrates no finding"
        raise InputError(
            f"--calibrated: {path} {what}, expected a calibration in it; eval.py --output_dir DIR --val_list FILE "
            "fits one"
        )
    missing = f"; not calibrated: {', '.join(thresholds.uncalibrated)}" if thresholds.uncalibrated else ""
    log(f"=> calibrated on {thresholds.validation_list}, {thresholds.validation_images:,} images{missing}")
    return thresholds.calibration


def format_thresholds(thresholds: Thresholds) -> str:
    """Return the text of a threshold file, as `read_thresholds` reads it."""
    content: dict[str, Any] = {"schema": SCHEMA, "chosen": thresholds.chosen}
    if thresholds.ckpt_sha256:
        content["ckpt_sha256"] = thresholds.ckpt_sha256
    if thresholds.crops:
        content["crops"] = thresholds.crops
    content["thresholds"] = {name: asdict(point) for name, point in thresholds.points.items()}
    if thresholds.calibration is not None:
        content["calibration"] = {
            "list": thresholds.validation_list,
            "images": thresholds.validation_images,
            "sha256": thresholds.validation_sha256,
            "temperature": thresholds.temperature,
            "platt": {name: asdict(scaling) for name, scaling in thresholds.calibration.items()},
            "left_out": thresholds.uncalibrated,
        }
    return json.dumps(content, indent=2) + "\n"
