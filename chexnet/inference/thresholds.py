"""Operating points: decision thresholds per finding, with their sensitivity and specificity on the validation set."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from chexnet._types import LogFn
from chexnet.config.crops import CROPS_TEXT, Crops, is_valid_crops
from chexnet.errors import InputError
from chexnet.files.json_files import read_json
from chexnet.labels import CLASS_NAMES

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


@dataclass(frozen=True)
class Thresholds:
    """Content of a threshold file.

    Attributes:
        chosen: description of the selection rule and of the images used for selection.
        points: finding -> operating point, in the order of the network's classes.
        ckpt_sha256: SHA-256 of the weights that the thresholds belong to; None if the file does not contain it.
        crops: crops per image during selection; None if unknown.
    """

    chosen: str
    points: dict[str, OperatingPoint]
    ckpt_sha256: str | None = None
    crops: Crops | None = None


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
    crops per image (10, 1 or "dense"), are optional.

    Args:
        path: the file.
        ckpt_sha256: SHA-256 of the weights in use, see `chexnet.model.Checkpoint`; None skips the comparison.
        classes: names of the network's outputs.

    Raises:
        InputError: the file cannot be read, is not a threshold file, or belongs to other classes or weights; or a
            number is outside 0..1, or `crops` is not one of `chexnet.config.crops.CROPS`.
    """
    content = read_json(path)
    if (
        not isinstance(content, dict)
        or content.get("schema") != SCHEMA
        or not isinstance(content.get("thresholds"), dict)
    ):
        raise InputError(f'{path}: not a threshold file, expected "schema": {SCHEMA} and "thresholds": {{...}}')
    entries = content["thresholds"]
    if entries.keys() != set(classes):
        unknown = sorted(entries.keys() - set(classes))
        missing = [name for name in classes if name not in entries]
        parts = [f"{kind} {_listed(names)}" for kind, names in (("unknown", unknown), ("missing", missing)) if names]
        raise InputError(f"{path}: classes differ from those of the network: {'; '.join(parts)}")
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
    points = {name: _point(entries[name], f"{path}: {name}") for name in classes}
    return Thresholds(chosen, points, expected or None, crops)


def format_thresholds(thresholds: Thresholds) -> str:
    """Return the text of a threshold file, as `read_thresholds` reads it."""
    content: dict[str, Any] = {"schema": SCHEMA, "chosen": thresholds.chosen}
    if thresholds.ckpt_sha256:
        content["ckpt_sha256"] = thresholds.ckpt_sha256
    if thresholds.crops:
        content["crops"] = thresholds.crops
    content["thresholds"] = {name: asdict(point) for name, point in thresholds.points.items()}
    return json.dumps(content, indent=2) + "\n"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:80] for name in names[:20]) + ", ..." * (len(names) > 20)


def _point(entry: Any, where: str) -> OperatingPoint:
    names = [field.name for field in fields(OperatingPoint)]
    if not isinstance(entry, dict) or entry.keys() != set(names):
        raise InputError(f"{where}: {repr(entry)[:80]}, expected an object of {', '.join(names)}")
    for name in names:
        value = entry[name]
        if type(value) not in (int, float) or not (math.isfinite(value) and 0 <= value <= 1):
            raise InputError(f"{where}: {name} is {repr(value)[:60]}, expected a number from 0 to 1")
    return OperatingPoint(**entry)
