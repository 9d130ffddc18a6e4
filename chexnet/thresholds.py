"""Operating points: the probability from which on a finding is called present, and how well that did elsewhere."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from chexnet.errors import InputError
from chexnet.files import sha256
from chexnet.labels import CLASS_NAMES

SCHEMA = 1
"""To be raised when the file's meaning changes."""


@dataclass(frozen=True)
class OperatingPoint:
    """A finding's threshold.

    Attributes:
        threshold: the finding is called present from this probability on, 0..1.
        sensitivity: share of the images with the finding that were called, on the images it was chosen on.
        specificity: share of those without it that were not.
    """

    threshold: float
    sensitivity: float
    specificity: float

    def decides(self, probability: float) -> bool:
        """Whether the finding is called present."""
        return probability >= self.threshold


@dataclass(frozen=True)
class Thresholds:
    """What a threshold file holds.

    Attributes:
        chosen: by which rule and on which images, in words.
        points: of every finding, in the network's order.
    """

    chosen: str
    points: dict[str, OperatingPoint]


def read_thresholds(
    path: str | os.PathLike[str], ckpt: str | os.PathLike[str], classes: Sequence[str] = CLASS_NAMES
) -> Thresholds:
    """Reads a file of operating points: JSON, such as

        {"schema": 1, "chosen": "highest Youden index on val_list.txt", "ckpt_sha256": "4a5f...",
         "thresholds": {"Atelectasis": {"threshold": 0.21, "sensitivity": 0.8, "specificity": 0.72}, ...}}

    with all classes. `ckpt_sha256` may be absent; if it is there, it is that of the weights that the points
    were chosen for, because they mean nothing for others.

    Args:
        path: the file.
        ckpt: the weights in use; nothing is said of them if they are missing.
        classes: names of the network's outputs.

    Raises:
        InputError: the file cannot be read, is no such JSON, is for other classes or other weights, or has a number
            that is not within 0..1.
    """
    try:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA or not isinstance(facts.get("thresholds"), dict):
        raise InputError(f'{path}: not a threshold file, expected "schema": {SCHEMA} and "thresholds": {{...}}')
    found = facts["thresholds"]
    if found.keys() != set(classes):
        unknown = sorted(found.keys() - set(classes))
        missing = [name for name in classes if name not in found]
        words = [f"{word} {', '.join(names)}" for word, names in (("unknown", unknown), ("missing", missing)) if names]
        raise InputError(f"{path}: thresholds for other classes than the network's: {'; '.join(words)}")
    wanted = facts.get("ckpt_sha256")
    if wanted and Path(ckpt).is_file() and wanted != (found_sha256 := sha256(ckpt)):
        raise InputError(
            f"{path}: chosen for weights with SHA-256 {wanted}, those of {ckpt} have {found_sha256}; "
            "a threshold means nothing for other weights: choose it anew"
        )
    points = {name: _point(found[name], f"{path}: {name}") for name in classes}
    return Thresholds(str(facts.get("chosen", "")), points)


def format_thresholds(thresholds: Thresholds, ckpt_sha256: str | None = None) -> str:
    """The text of the file that `read_thresholds` reads.

    Args:
        thresholds: what it holds.
        ckpt_sha256: of the weights that they were chosen for, None where that is not known.
    """
    facts: dict[str, Any] = {"schema": SCHEMA, "chosen": thresholds.chosen}
    if ckpt_sha256:
        facts["ckpt_sha256"] = ckpt_sha256
    facts["thresholds"] = {name: asdict(point) for name, point in thresholds.points.items()}
    return json.dumps(facts, indent=2) + "\n"


def _point(found: Any, where: str) -> OperatingPoint:
    names = [field.name for field in fields(OperatingPoint)]
    if not isinstance(found, dict) or found.keys() != set(names):
        raise InputError(f"{where}: {found!r}, expected an object of {', '.join(names)}")
    for name in names:
        value = found[name]
        if type(value) not in (int, float) or not (math.isfinite(value) and 0 <= value <= 1):
            raise InputError(f"{where}: {name} is {value!r}, expected a number from 0 to 1")
    return OperatingPoint(**found)
