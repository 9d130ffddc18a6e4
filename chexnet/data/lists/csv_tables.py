"""Label files of any data set: CSV with a column per finding, or with a column that names findings."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from chexnet.data.lists.csv_cells import parse_findings, parse_part, part_of_file, plain
from chexnet.data.lists.csv_rows import CsvRows, Row
from chexnet.data.lists.image_names import checked_name, patient_id
from chexnet.data.lists.label_tables import LabelTable, parse_patient
from chexnet.data.lists.label_values import UNCERTAIN, parse_label
from chexnet.data.lists.layouts import FILES, Layout
from chexnet.data.lists.readings import BLANK, Reading, merge
from chexnet.errors import InputError
from chexnet.files.text_files import shorten, shorten_all
from chexnet.labels import validate_class_names


def read_csv(
    path: str | os.PathLike[str],
    image_column: str,
    label_columns: Sequence[str],
    patient_column: str | None = None,
    uncertain: str | None = None,
) -> LabelTable:
    """Read a CSV with one column per finding and one row per image: 0, 1, -1 for uncertain, or blank for absent.

    Args:
        path: CSV file with a header, plain or gzip-compressed (.csv.gz).
        image_column: name of the column with the image files, relative to the image folder.
        label_columns: names of the finding columns, which become the classes in this order.
        patient_column: name of the column with the patients; None to take them from the image names, see `patient_id`.
        uncertain: treatment of uncertain labels. `zeros` and `ones` replace them (U-Zeros and U-Ones of Irvin et al.,
            CheXpert, AAAI 2019). `drop` leaves out the image. U-Ignore, which leaves out only the label, cannot be
            expressed in a list file. None refuses uncertain labels.

    Raises:
        InputError: see `read_tables`.
    """
    try:
        validate_class_names(label_columns)
    except InputError as error:
        raise InputError(f"--label_columns: {error}") from error
    classes = {name: (name,) for name in label_columns}
    return read_tables([path], Layout(image_column, classes, patient_column=patient_column or ""), uncertain)


def read_tables(paths: Sequence[str | os.PathLike[str]], layout: Layout, uncertain: str | None = None) -> LabelTable:
    """Read the CSV files of a data set, see `CsvRows` for how several files are combined.

    Args:
        paths: CSV files with a header, plain or gzip-compressed (.csv.gz).
        layout: meaning of the columns.
        uncertain: see `read_csv`.

    Raises:
        InputError: a file is missing, not text, or has no images; a column is missing; no row matches `layout.where`; a
            class has findings that no row names; or a line is malformed: wrong number of columns, a label of another
            value, an image in two rows without `layout.readers`, or with two patients or parts, or a patient that
            contradicts the image name.
    """
    _check_pattern(layout.patient_pattern)
    split = [layout.split_column] if layout.split_column not in ("", FILES) else []
    patient = [layout.patient_column] if layout.patient_column else []
    rows = CsvRows(
        paths,
        (*layout.image_columns, *layout.label_columns, *patient, *split),
        [layout.reader_column] if layout.reader_column else [],
        layout.where,
    )
    read = _NamedFindings(layout) if layout.finding_column else _FindingColumns(layout)
    readings = list(read.readings(rows))
    path = rows.paths[0]
    return merge(
        readings, Path(path), tuple(layout.classes), layout.readers, uncertain, [*rows.notes, *read.notes(path)]
    )


class _FindingColumns:
    """Rows with a column per finding."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        columns = layout.label_columns
        self._positions = {name: [columns.index(column) for column in of] for name, of in layout.classes.items()}

    def readings(self, rows: CsvRows) -> Iterator[Reading]:
        """Yield the reading of each row."""
        for row in rows:
            reading, cells = _split_row(row, self._layout)
            values = _parse_values(cells, self._layout.label_columns, row.where)
            labels = [_either([values[position] for position in of]) for of in self._positions.values()]
            yield Reading(*reading, labels)

    def notes(self, path: str | os.PathLike[str]) -> list[str]:
        return []


class _NamedFindings:
    """Rows that name findings. All rows of an image by the same reader are one reading."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._classes = {
            plain(finding): [c for c, of in enumerate(layout.classes.values()) if plain(finding) in map(plain, of)]
            for of in layout.classes.values()
            for finding in of
        }
        self._counts: Counter[str] = Counter()
        self._blank = 0

    def readings(self, rows: CsvRows) -> Iterator[Reading]:
        """Yield the readings, in the order of their first rows."""
        found: dict[tuple[str, str], Reading] = {}
        for row in rows:
            reading, (cell,) = _split_row(row, self._layout)
            if not cell:
                self._blank += 1
                continue
            name, where, patient, part, reader = reading
            # Without a column of readers, all rows of an image are one reading.
            one = found.setdefault((name, reader), Reading(*reading, [0] * len(self._layout.classes)))
            if (one.patient, one.part) != (patient, part):
                raise InputError(
                    f"{where}: {shorten(name)} has patient {shorten(str(patient))} and part {shorten(part)}, expected "
                    f"{shorten(str(one.patient))} and {shorten(one.part)} as in {one.where}"
                )
            for finding in parse_findings(cell, where):
                self._counts[finding] += 1
                for column in self._classes.get(plain(finding), ()):
                    one.labels[column] = 1
        yield from found.values()

    def notes(self, path: str | os.PathLike[str]) -> list[str]:
        """Return sentences on findings of no class and rows without findings.

        Raises:
            InputError: no row names the finding of a class.
        """
        named = set(map(plain, self._counts))
        for name, of in self._layout.classes.items():
            if missing := [finding for finding in of if plain(finding) not in named]:
                raise InputError(
                    f"{path}: class {shorten(name)} stands for the finding {shorten(missing[0])}, expected one in "
                    f"the column {self._layout.finding_column!r}; it names "
                    f"{shorten_all([finding for finding, _ in self._counts.most_common()])}"
                )
        others = [(name, count) for name, count in self._counts.most_common() if plain(name) not in self._classes]
        notes = [f"{self._blank:,} rows without findings left out"] if self._blank else []
        if others:
            listed = shorten_all([f"{name} {count:,}" for name, count in others], limit=10)
            notes.append(f"findings of no class, not used: {listed}")
        return notes


_ReadingStart = tuple[str, str, str | None, str, str]


def _split_row(row: Row, layout: Layout) -> tuple[_ReadingStart, list[str]]:
    """Return the beginning of a reading (name, position, patient, part, reader), and the cells with labels."""
    cells = list(row.cells)
    reader = cells.pop() if layout.reader_column else ""
    part = ""
    if layout.split_column == FILES:
        part = part_of_file(row.path)
    elif layout.split_column:
        part = parse_part(cells.pop(), row.where)
    given = cells.pop() if layout.patient_column else None
    count = len(layout.image_columns)
    name = checked_name(layout.image_name(cells[:count]), row.where)
    if given is not None:
        patient: str | None = parse_patient(given, layout.patient_column, row.where)
    elif layout.patient_pattern:
        patient = _patient_by_pattern(name, layout.patient_pattern, row.where)
    else:
        patient = patient_id(name)
    return (name, row.where, patient, part, reader), cells[count:]


def _check_pattern(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups if pattern else 1
    except re.error as error:
        raise InputError(f"--patient_pattern: {shorten(pattern)} is not a regular expression: {error}") from error
    if groups < 1:
        raise InputError(f"--patient_pattern: {shorten(pattern)} has no group, expected the patient in parentheses")


def _patient_by_pattern(name: str, pattern: str, where: str) -> str:
    found = re.search(pattern, name)
    if not found or not found[1]:
        raise InputError(
            f"{where}: the image name {shorten(name)} does not match --patient_pattern {pattern}, expected a patient "
            "in its first group"
        )
    return found[1]


def _parse_values(cells: Sequence[str], columns: Sequence[str], where: str) -> list[int]:
    labels = [parse_label(cell) if cell else BLANK for cell in cells]
    for label, cell, column in zip(labels, cells, columns, strict=True):
        if label is None:
            raise InputError(
                f"{where}: {column} is {shorten(cell)}, expected 0, 1, -1 for uncertain, or blank for absent (or "
                "true/false, yes/no, positive/negative)"
            )
    return [label for label in labels if label is not None]


def _either(labels: Sequence[int]) -> int:
    """Return the label of a class that stands for several columns."""
    if len(labels) == 1:
        return labels[0]
    if 1 in labels:
        return 1
    if UNCERTAIN in labels:
        return UNCERTAIN
    return BLANK if set(labels) == {BLANK} else 0
