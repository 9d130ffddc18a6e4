"""Operating points: the probability from which on a finding is called present, and how well that did elsewhere."""

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from chexnet.errors import InputError
from chexnet.files.json_files import read_json
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
        crops: number of crops per image that they were chosen with; None where that is not known.
    """

    chosen: str
    points: dict[str, OperatingPoint]
    ckpt_sha256: str | None = None
    crops: int | None = None


def thresholds_path(ckpt: str | os.PathLike[str]) -> Path:
    """`save/best_model.pdparams` -> `save/best_model.thresholds.json`, which belongs to these weights."""
    return Path(ckpt).with_suffix(".thresholds.json")


def find_thresholds(
    given: str | None,
    ckpt: str | os.PathLike[str],
    ckpt_sha256: str,
    classes: Sequence[str],
    crops: int,
    report: Callable[[str], None],
) -> tuple[str, Thresholds] | None:
    """Read the operating points that a run decides by: the given file, else the one beside the weights, if any.

    Args:
        given: file that the user named.
        ckpt: the weight file.
        ckpt_sha256: see `read_thresholds`.
        classes: see `read_thresholds`.
        crops: number of crops per image in this run.
        report: takes lines for a person: what was read, and what speaks against it.

    Raises:
        InputError: see `read_thresholds`; or the file beside the weights does not say which weights it is for.
    """
    own = thresholds_path(ckpt)
    if given is None and not own.exists():
        return None
    path = str(own) if given is None else given
    thresholds = read_thresholds(path, ckpt_sha256, classes)
    if thresholds.ckpt_sha256 is None:
        if given is None:
            raise InputError(f"{path}: has no ckpt_sha256, expected that of {ckpt}; or give it with --thresholds")
        report(f"=> warning: {path}: does not say for which weights it is; it means nothing for others")
    report(f"=> thresholds of {path}: {thresholds.chosen or 'it does not say how they were chosen'}")
    if thresholds.crops not in (None, crops):
        report(f"=> they were chosen with --crops {thresholds.crops}: with {crops} they decide somewhat differently")
    return path, thresholds


def read_thresholds(
    path: str | os.PathLike[str], ckpt_sha256: str | None, classes: Sequence[str] = CLASS_NAMES
) -> Thresholds:
    """Reads a file of operating points: JSON, such as

        {"schema": 1, "chosen": "highest Youden index on val_list.txt", "ckpt_sha256": "4a5f...",
         "thresholds": {"Atelectasis": {"threshold": 0.21, "sensitivity": 0.8, "specificity": 0.72}, ...}}

    with all classes. `ckpt_sha256` may be absent; if it is there, it is that of the weights that the points
    were chosen for, because they mean nothing for others. So may `crops`, the number of crops per image.

    Args:
        path: the file.
        ckpt_sha256: of the weights in use, as `chexnet.model.Checkpoint` has it; None compares nothing.
        classes: names of the network's outputs.

    Raises:
        InputError: the file cannot be read, is no such JSON, is for other classes or other weights, or has a number
            that is not within 0..1 or crops that are neither 1 nor 10.
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
    crops = facts.get("crops")
    if crops is not None and (type(crops) is not int or crops not in (1, 10)):
        raise InputError(f"{path}: crops is {repr(crops)[:60]}, expected 1 or 10")
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
    return Thresholds(chosen, points, wanted or None, crops)


def format_thresholds(thresholds: Thresholds) -> str:
    """The text of the file that `read_thresholds` reads."""
    facts: dict[str, Any] = {"schema": SCHEMA, "chosen": thresholds.chosen}
    if thresholds.ckpt_sha256:
        facts["ckpt_sha256"] = thresholds.ckpt_sha256
    if thresholds.crops:
        facts["crops"] = thresholds.crops
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
