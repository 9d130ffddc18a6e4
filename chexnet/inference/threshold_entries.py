"""Check the entries of a threshold file: names, numbers and the calibration."""

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chexnet.errors import InputError
from chexnet.metrics.platt import MAX_PARAMETER, PlattScaling


@dataclass(frozen=True)
class Range:
    """Range of a number in a file.

    Attributes:
        low: lower end; outside the range if `excludes_low`.
        high: upper end, part of the range.
        text: description for messages, after "expected a number".
        excludes_low: see `low`.
    """

    low: float
    high: float
    text: str
    excludes_low: bool = False

    def check(self, value: Any, where: str) -> float:
        """Return the number. Raises InputError if the value is none, or lies outside the range."""
        inside = type(value) in (int, float) and math.isfinite(value) and self.low <= value <= self.high
        if not inside or (self.excludes_low and value == self.low):
            raise InputError(f"{where} is {repr(value)[:60]}, expected a number {self.text}")
        return float(value)


PROBABILITIES = Range(0, 1, "from 0 to 1")
_FACTORS = Range(0, MAX_PARAMETER, f"above 0 and at most {MAX_PARAMETER:,.0f}", excludes_low=True)
_OFFSETS = Range(-MAX_PARAMETER, MAX_PARAMETER, f"from {-MAX_PARAMETER:,.0f} to {MAX_PARAMETER:,.0f}")
_PLATT_RANGES = {"slope": _FACTORS, "offset": _OFFSETS}

_CALIBRATION = ("list", "images", "sha256", "temperature", "platt", "left_out")


def read_numbers(entry: Any, ranges: Mapping[str, Range], where: str) -> list[float]:
    """Return the numbers of an object that has exactly the names of `ranges`, in their order.

    Raises:
        InputError: the entry is not such an object, or a number is outside its range.
    """
    if not isinstance(entry, dict) or entry.keys() != ranges.keys():
        raise InputError(f"{where}: {repr(entry)[:80]}, expected an object of {', '.join(ranges)}")
    return [limits.check(entry[name], f"{where}: {name}") for name, limits in ranges.items()]


def check_entry_names(names: Collection[str], classes: Sequence[str], where: str) -> None:
    """Raise InputError unless `names` are the classes, in any order."""
    if set(names) != set(classes):
        unknown = sorted(set(names) - set(classes))
        missing = [name for name in classes if name not in names]
        parts = [f"{kind} {_listed(found)}" for kind, found in (("unknown", unknown), ("missing", missing)) if found]
        raise InputError(f"{where}: classes differ from those of the network: {'; '.join(parts)}")


def read_calibration(entry: Any, classes: Sequence[str], path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields of `Thresholds` that the entry `calibration` of a file describes.

    Raises:
        InputError: the entry has other names or types, `platt` and `left_out` do not have each class once, or a
            number is outside its range.
    """
    where = f"{path}: calibration"
    if not isinstance(entry, dict) or entry.keys() != set(_CALIBRATION):
        raise InputError(f"{where}: {repr(entry)[:80]}, expected an object of {', '.join(_CALIBRATION)}")
    name, images, checksum, temperature, platt, left_out = (entry[key] for key in _CALIBRATION)
    if not _is_line(name) or not name or not (checksum is None or _is_line(checksum)):
        raise InputError(f"{where}: list and sha256 are {repr((name, checksum))[:80]}, expected strings of one line")
    if type(images) is not int or images < 1:
        raise InputError(f"{where}: images is {repr(images)[:60]}, expected a whole number above 0")
    if not isinstance(platt, dict) or not isinstance(left_out, list) or not all(map(_is_line, left_out)):
        raise InputError(f"{where}: expected platt as an object and left_out as a list of findings")
    names = [*platt, *left_out]
    check_entry_names(names, classes, where)
    if twice := [finding for finding in left_out if names.count(finding) > 1]:
        raise InputError(f"{where}: {twice[0]} occurs twice in platt and left_out, expected each finding once")
    return {
        "calibration": {
            finding: PlattScaling(*read_numbers(platt[finding], _PLATT_RANGES, f"{where}: {finding}"))
            for finding in classes
            if finding in platt
        },
        "temperature": None if temperature is None else _FACTORS.check(temperature, f"{where}: temperature"),
        "validation_list": name,
        "validation_images": images,
        "validation_sha256": checksum,
    }


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:80] for name in names[:20]) + ", ..." * (len(names) > 20)
