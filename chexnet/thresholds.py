"""Operating points: the probability from which on a finding is called present, and how well that did elsewhere."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from chexnet.errors import InputError
from chexnet.json_files import read_json
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
        ckpt_sha256: of the weights that they were chosen for; None if the file does not say.
    """

    chosen: str
    points: dict[str, OperatingPoint]
    ckpt_sha256: str | None = None


def read_thresholds(
    path: str | os.PathLike[str], ckpt_sha256: str | None, classes: Sequence[str] = CLASS_NAMES
) -> Thresholds:
    """Reads a file of operating points: JSON, such as

        {"schema": 1, "chosen": "highest Youden index on val_list.txt", "ckpt_sha256": "4a5f...",
         "thresholds": {"Atelectasis": {"threshold": 0.21, "sensitivity": 0.8, "specificity": 0.72}, ...}}

    with all classes. `ckpt_sha256` may be absent; if it is there, it is that of the weights that the points
    were chosen for, because they mean nothing for others.

    Args:
        path: the file.
        ckpt_sha256: of the weights in use, as `chexnet.model.Checkpoint` has it; None compares nothing.
        classes: names of the network's outputs.

    Raises:
        InputError: the file cannot be read, is no such JSON, is for other classes or other weights, or has a number
            that is not within 0..1.
    """
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA or not isinstance(facts.get("thresholds"), dict):
        raise InputError(f'{path}: not a threshold file, expected "schema": {SCHEMA} and "thresholds": {{...}}')
    found = facts["thresholds"]
    if found.keys() != set(classes):
        unknown = sorted(found.keys() - set(classes))
        missing = [name for name in classes if name not in found]
        words = [f"{word} {_shown(names)}" for word, names in (("unknown", unknown), ("missing", missing)) if names]
        raise InputError(f"{path}: thresholds for other classes than the network's: {'; '.join(words)}")
    wanted, chosen = facts.get("ckpt_sha256"), facts.get("chosen", "")
    if not isinstance(wanted, str | None) or not isinstance(chosen, str) or not chosen.isprintable():
        raise InputError(
            f"{path}: 'chosen' and 'ckpt_sha256' are {repr((chosen, wanted))[:80]}, expected a line and a text"
        )
    if wanted and ckpt_sha256 not in (None, wanted):
        raise InputError(
            f"{path}: chosen for weights with SHA-256 {wanted[:64]}, those in use have {ckpt_sha256}; "
            "a threshold means nothing for other weights: choose it anew"
        )
    points = {name: _point(found[name], f"{path}: {name}") for name in classes}
    return Thresholds(chosen, points, wanted or None)


def format_thresholds(thresholds: Thresholds) -> str:
    """The text of the file that `read_thresholds` reads."""
    facts: dict[str, Any] = {"schema": SCHEMA, "chosen": thresholds.chosen}
    if thresholds.ckpt_sha256:
        facts["ckpt_sha256"] = thresholds.ckpt_sha256
    facts["thresholds"] = {name: asdict(point) for name, point in thresholds.points.items()}
    return json.dumps(facts, indent=2) + "\n"


def _shown(names: Sequence[str]) -> str:
    return ", ".join(name[:80] for name in names[:20]) + ", ..." * (len(names) > 20)


def _point(found: Any, where: str) -> OperatingPoint:
    names = [field.name for field in fields(OperatingPoint)]
    if not isinstance(found, dict) or found.keys() != set(names):
        raise InputError(f"{where}: {repr(found)[:80]}, expected an object of {', '.join(names)}")
    for name in names:
        value = found[name]
        if type(value) not in (int, float) or not (math.isfinite(value) and 0 <= value <= 1):
            raise InputError(f"{where}: {name} is {repr(value)[:60]}, expected a number from 0 to 1")
    return OperatingPoint(**found)
