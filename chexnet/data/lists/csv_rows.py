"""Rows of several CSV files, one below the other or joined by their common columns, and filtered."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import shorten, shorten_all


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        where: `file:line`, for messages.
        path: its file.
        cells: cells of the requested columns.
    """

    where: str
    path: Path
    cells: list[str]


@dataclass
class CsvRows:
    """The rows of CSV files.

    If every file has all required columns, the rows of one file follow those of another. Otherwise the first file
    defines the rows, and each other file adds the columns that are still missing to the rows with the same values in
    all common columns.

    Args:
        paths: CSV files, at least one.
        required: columns that must exist.
        optional: columns whose cells are empty if a file lacks them.
        where: column -> allowed values; other rows are left out.

    Attributes:
        notes: sentences on joins and rows that were left out, complete after the iteration.

    Raises:
        InputError: a file cannot be read, a column is missing or occurs twice, or files have no common column.
    """

    paths: Sequence[str | os.PathLike[str]]
    required: Sequence[str]
    optional: Sequence[str] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._filters = [column for column in self.where if column not in self.required]
        self._files = [CsvFile(path, "label file") for path in self.paths]
        needed = (*self.required, *self._filters)
        self._appended = len(self._files) == 1 or all(_has(file, needed) for file in self._files)
        self._seen: dict[str, Counter[str]] = {column: Counter() for column in self.where}

    def __iter__(self) -> Iterator[Row]:
        found = 0
        for row in self._appended_rows() if self._appended else self._joined_rows():
            if self._matches(row.cells):
                found += 1
                yield Row(row.where, row.path, row.cells[: len(self.required) + len(self.optional)])
        total = max((sum(values.values()) for values in self._seen.values()), default=found)
        if found < total:
            self.notes.append(f"{total - found:,} of {total:,} rows left out by --where")
        if self.where and not found and total:
            values = "; ".join(f"{column}: {_values(self._seen[column])}" for column in self.where)
            conditions = " ".join(f"{column}={value}" for column, all_ in self.where.items() for value in all_)
            raise InputError(f"{self.paths[0]}: no row matches --where {conditions}; the values are {values}")

    def _matches(self, cells: Sequence[str]) -> bool:
        names = (*self.required, *self.optional, *self._filters)
        by_name = dict(zip(names, cells, strict=True))
        for column in self.where:
            self._seen[column][by_name[column]] += 1
        return all(by_name[column] in allowed for column, allowed in self.where.items())

    def _appended_rows(self) -> Iterator[Row]:
        for file in self._files:
            optional = [column if _has(file, [column]) else None for column in self.optional]
            columns = [*self.required, *optional, *self._filters]
            indices = [file.find(column) for column in columns if column is not None]
            for line, cells in file.rows(indices):
                rest = iter(cells)
                yield Row(file.where(line), file.path, ["" if name is None else next(rest) for name in columns])

    def _joined_rows(self) -> Iterator[Row]:
        base, *others = self._files
        joins = []
        header = list(base.header)
        needed = (*self.required, *self.optional, *self._filters)
        for file in others:
            join = _Join.read(file, header, [column for column in needed if not _in(header, column)])
            self.notes.append(f"{file.path}: joined by {', '.join(join.keys)}")
            header += join.columns
            joins.append(join)
        missing = [column for column in (*self.required, *self._filters) if not _in(header, column)]
        if missing:
            raise InputError(
                f"{', '.join(map(str, self.paths))}: no column {shorten(missing[0])}, expected it in one of these files"
            )
        wanted = [next((i for i, name in enumerate(header) if _same(name, column)), -1) for column in needed]
        unmatched = [0] * len(joins)
        count = 0
        for line, first in base.rows(range(len(base.header))):
            count += 1
            cells = list(first)
            for index, join in enumerate(joins):
                added = join.rows.get(tuple(cells[position] for position in join.positions))
                if added is None:
                    unmatched[index] += 1
                    break
                cells += added
            else:
                yield Row(base.where(line), base.path, ["" if i < 0 else cells[i] for i in wanted])
        for join, absent in zip(joins, unmatched, strict=True):
            if absent == count and count:
                raise InputError(
                    f"{join.path}: none of its rows has the {', '.join(join.keys)} of a row of {base.path}"
                )
            if absent:
                self.notes.append(f"{absent:,} of {count:,} rows of {base.path} left out: no such row in {join.path}")


@dataclass(frozen=True)
class _Join:
    """The rows of a file by the values of the columns that it has in common with earlier files."""

    path: Path
    keys: tuple[str, ...]
    positions: tuple[int, ...]
    columns: tuple[str, ...]
    rows: dict[tuple[str, ...], list[str]]

    @classmethod
    def read(cls, file: CsvFile, header: Sequence[str], needed: Sequence[str]) -> "_Join":
        keys = tuple(name for name in file.header if name and name in header)
        if not keys:
            raise InputError(
                f"{file.where(1)}: no column of the files before it ({shorten_all(header)}), expected a common one to "
                f"join them; there are {shorten_all(file.header)}"
            )
        columns = tuple(column for column in needed if _has(file, [column]))
        indices = [*map(file.find, keys), *map(file.find, columns)]
        rows: dict[tuple[str, ...], list[str]] = {}
        for line, cells in file.rows(indices):
            key = tuple(cells[: len(keys)])
            if rows.setdefault(key, cells[len(keys) :]) != cells[len(keys) :]:
                raise InputError(
                    f"{file.where(line)}: a second row with {', '.join(keys)} = {', '.join(map(shorten, key))} and "
                    "other values, expected one"
                )
        return cls(file.path, keys, tuple(map(list(header).index, keys)), columns, rows)


def _has(file: CsvFile, columns: Sequence[str]) -> bool:
    return all(_in(file.header, column) for column in columns)


def _in(header: Sequence[str], column: str) -> bool:
    return any(_same(name, column) for name in header)


def _same(name: str, column: str) -> bool:
    return " ".join(name.split()).casefold() == " ".join(column.split()).casefold()


def _values(counts: Counter[str]) -> str:
    return shorten_all([repr(value) for value, _ in counts.most_common()])
