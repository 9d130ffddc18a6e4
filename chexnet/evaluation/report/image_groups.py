"""Groups of images: those in a list and the others, or those with each value of a column of a metadata file."""

import csv
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.data.lists import parse_label
from chexnet.errors import InputError
from chexnet.evaluation.image_matching import match_images
from chexnet.evaluation.prediction_table import find_image_column, image_name, plain
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import read_text, shorten, shorten_all
from chexnet.known_lists import OFFICIAL_SPLIT, split_of

MAX_GROUPS = 12

OFFICIAL_TEST = "official_test"
"""Name of the groups by NIH's official list of test images."""

_AGE = re.compile(r"(\d+)([YMWD]?)", re.ASCII)
_DAYS = {"": 365.25, "Y": 365.25, "M": 30.4375, "W": 7.0, "D": 1.0}
_BANDS = ((0, "0-17"), (18, "18-39"), (40, "40-59"), (60, "60-79"), (80, "80 and over"))
_OLDEST = 120
"""Highest age that is taken seriously; NIH's files have ages such as 148, 155 and 412."""


@dataclass(frozen=True)
class Grouping:
    """A division of N images into groups.

    Attributes:
        name: name, as in `--by`.
        source: file that defines it.
        groups: names of the K groups, in order; at least two.
        membership: int64 [N], the group of each image, 0 to K - 1, or -1 for an image in none.
        left_out: sentences on the images that are in no group.
    """

    name: str
    source: str
    groups: tuple[str, ...]
    membership: np.ndarray
    left_out: tuple[str, ...] = ()


def read_groupings(
    by: Sequence[str],
    metadata: str | os.PathLike[str] | None,
    names: Sequence[str],
    origin: str,
    skip_missing: bool = False,
) -> list[Grouping]:
    """Divide images into groups, once for each item of `by`.

    Args:
        by: items, separated by commas: `NAME=LIST` or a list file (.txt, .txt.gz), which makes the groups of images in
            the list and of the others; `official_test` for NIH's own list; `sex`, `age_band`, `view` or
            `first_or_followup` for NIH's columns; or the name of a column of `metadata`.
        metadata: CSV file with a column of image names, plain or compressed (.csv.gz).
        names: N image names.
        origin: file of these images, for messages.
        skip_missing: whether images that `metadata` lacks are left out; otherwise they are an error.

    Raises:
        InputError: a file cannot be read, an item or a column is unknown, an image is missing or repeated, a value is
            malformed, or an item has fewer than two groups or more than MAX_GROUPS.
    """
    items = [item.strip() for text in by for item in next(csv.reader([text], skipinitialspace=True), [])]
    if not items or not all(items) or len(set(items)) < len(items):
        raise InputError(f"--by: found {shorten(','.join(by))}, expected different names, separated by commas")
    table = _Metadata(metadata, names, origin, skip_missing) if metadata else None
    return [_grouping(item, table, metadata, names, origin) for item in items]


def read_names(path: str | os.PathLike[str]) -> list[str]:
    """Read the image names of a list file with or without labels.

    Raises:
        InputError: the file is missing, empty or not text, a line is empty, a name is repeated or leads out of the
            image folder, or a line has another number of labels than the first.
    """
    lines = read_text(path, "list file").rstrip().split("\n")
    count = _label_count(lines[0])
    found: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        if not line.strip() or _label_count(line) != count:
            raise InputError(f"{where}: found {shorten(line)}, expected a name and {count} labels as in the first line")
        name = image_name(line.rsplit(None, count)[0].strip() if count else line.strip(), where)
        if found.setdefault(name, number) != number:
            raise InputError(f"{where}: {shorten(name)} is already in line {found[name]}, expected each image once")
    return list(found)


def _label_count(line: str) -> int:
    words = line.split()
    count = 0
    while count < len(words) - 1 and parse_label(words[-1 - count]) is not None:
        count += 1
    return count


def _grouping(
    item: str, table: "_Metadata | None", metadata: str | os.PathLike[str] | None, names: Sequence[str], origin: str
) -> Grouping:
    if table and table.has(item):
        return table.grouping(item)
    name, equals, path = item.partition("=")
    if equals:
        if name == OFFICIAL_TEST and not _is_official(path):
            raise InputError(f"{path}: is not NIH's official list of 25,596 test images, which {item} expects")
        return _by_list(name, path, names, origin)
    if item.endswith((".txt", ".txt.gz")):
        return _by_list(Path(item).name.removesuffix(".gz").removesuffix(".txt"), item, names, origin)
    if item == OFFICIAL_TEST:
        return _by_list(item, _find_official(metadata), names, origin)
    if table:
        return table.grouping(item)  # raises the error that names the columns
    raise InputError(
        f"--by: {shorten(item)} needs --metadata FILE.csv, or expected a list: NAME=LIST.txt or LIST.txt, or "
        f"{OFFICIAL_TEST}"
    )


def _by_list(name: str, path: str | os.PathLike[str], names: Sequence[str], origin: str) -> Grouping:
    match = match_images(names, origin, read_names(path), str(path))
    membership = np.ones(len(names), np.int64)
    membership[match.rows[match.rows >= 0]] = 0
    grouping = Grouping(name, str(path), (name, f"not {name}"), membership)
    _check_groups(grouping, np.bincount(membership, minlength=2), origin)
    return grouping


def _check_groups(grouping: Grouping, counts: np.ndarray, origin: str) -> None:
    if np.count_nonzero(counts) < 2:
        only = [name for name, count in zip(grouping.groups, counts, strict=True) if count]
        raise InputError(
            f"--by {grouping.name}: the images of {origin} are all {shorten_all(only) or 'in no group'} according to "
            f"{grouping.source}, expected at least two groups"
        )


def _is_official(path: str | os.PathLike[str]) -> bool:
    return split_of(read_names(path)) == OFFICIAL_SPLIT


def _find_official(metadata: str | os.PathLike[str] | None) -> Path:
    """Find NIH's official list, which is recognized by its names, next to the metadata or in the data folder."""
    folders = [*([Path(metadata).parent] if metadata else []), Path("dataset"), Path("dataset", "labels")]
    for path in (folder / name for folder in folders for name in ("test_list.txt", "test_list.txt.gz")):
        if path.is_file() and _is_official(path):
            return path
    raise InputError(
        f"--by {OFFICIAL_TEST}: no test_list.txt with NIH's 25,596 official test images in "
        f"{', '.join(map(str, folders))}; --by {OFFICIAL_TEST}=FILE names the file"
    )


class _Metadata:
    """A metadata file, with the rows of the images."""

    def __init__(self, path: str | os.PathLike[str], names: Sequence[str], origin: str, skip_missing: bool) -> None:
        self._table = CsvFile(path, "metadata file")
        self._origin = origin
        image = find_image_column(self._table)
        lines: dict[str, int] = {}
        self._rows = []
        for line, cells in self._table.rows([image, *range(len(self._table.header))]):
            name = image_name(cells[0], self._table.where(line))
            if lines.setdefault(name, line) != line:
                raise InputError(
                    f"{self._table.where(line)}: {shorten(name)} is already in line {lines[name]}, expected each image "
                    "once"
                )
            self._rows.append(cells[1:])
        self._lines = list(lines.values())
        self._match = match_images(tuple(lines), str(path), names, origin)
        missing = self._match.missing
        if missing and not skip_missing:
            raise InputError(
                f"{path}: {len(missing):,} of the {len(names):,} images in {origin} are missing, such as "
                f"{shorten(missing[0])}; --on_missing_image skip leaves them out"
            )

    def has(self, column: str) -> bool:
        """Return whether there is a column of exactly this name, and no alias."""
        return column in self._table.header and column not in _ALIASES

    def grouping(self, item: str) -> Grouping:
        """Group the images by a column or an alias."""
        columns, convert, order = _ALIASES.get(item, ((item,), _as_written, None))
        found = [name for name in self._table.header if plain(name) in map(plain, columns)]
        column = self._table.find(found[0] if len(found) == 1 else columns[0])
        values: list[str | None] = []
        odd: list[str] = []
        for row in self._match.rows.tolist():
            value = None
            if row >= 0:
                cell = self._rows[row][column]
                value = convert(cell, f"{self._table.where(self._lines[row])}: {self._table.header[column]}")
                odd += [cell] if value is None else []
            values.append(value)
        groups = [name for name in order or sorted({value for value in values if value}) if name in set(values)]
        where = f"{self._table.where(1)}: {self._table.header[column]}"
        if len(groups) > MAX_GROUPS:
            raise InputError(
                f"{where} has {len(groups):,} different values for the images of {self._origin}, such as "
                f"{shorten_all(groups, limit=3)}; expected at most {MAX_GROUPS}"
            )
        number = {name: index for index, name in enumerate(groups)}
        membership = np.array([-1 if value is None else number[value] for value in values], np.int64)
        grouping = Grouping(item, str(self._table.path), tuple(groups), membership, self._left_out(odd))
        _check_groups(grouping, np.bincount(membership[membership >= 0], minlength=len(groups)), self._origin)
        return grouping

    def _left_out(self, odd: Sequence[str]) -> tuple[str, ...]:
        missing = [f"{len(self._match.missing):,} images are not in {self._table.path}."] if self._match.missing else []
        if odd:
            found = shorten_all(sorted({cell or "blank" for cell in odd}), limit=5)
            missing.append(f"{len(odd):,} images have no usable value ({found}).")
        return tuple(missing)


def _as_written(cell: str, where: str) -> str | None:
    return " ".join(cell.split()) or None


def _age_band(cell: str, where: str) -> str | None:
    """Return the band of an age such as 58, 058Y, 013M or 020D; None for a blank or an impossible age."""
    if not cell:
        return None
    match = _AGE.fullmatch(cell.upper())
    if not match:
        raise InputError(f"{where} is {shorten(cell)}, expected an age such as 58, 058Y, 013M, 006W or 020D")
    age = int(match[1][:9]) * _DAYS[match[2]] / _DAYS["Y"]
    return None if age > _OLDEST else [name for lowest, name in _BANDS if age >= lowest][-1]


def _first_or_followup(cell: str, where: str) -> str | None:
    """Return whether the number of a follow-up is 0; None for a blank."""
    if not cell:
        return None
    if not cell.isdecimal():
        raise InputError(f"{where} is {shorten(cell)}, expected the number of the follow-up, 0 for the first image")
    return "follow-up" if int(cell) else "first"


_Convert = Callable[[str, str], "str | None"]

_ALIASES: dict[str, tuple[tuple[str, ...], _Convert, tuple[str, ...] | None]] = {
    "sex": (("Patient Sex", "Patient Gender", "Sex", "Gender"), _as_written, None),
    "age_band": (("Patient Age", "Age"), _age_band, tuple(name for _, name in _BANDS)),
    "view": (("View Position", "ViewPosition", "View"), _as_written, None),
    "first_or_followup": (("Follow-up #", "Follow-up Number"), _first_or_followup, ("first", "follow-up")),
}
"""Name -> columns, function that converts a cell to a group, and order of the groups (None: sorted)."""
