"""Tables of labels, and NIH's label file."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from chexnet.data.lists.image_names import checked_name, image_id, patient_id
from chexnet.errors import InputError
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import shorten
from chexnet.labels import CLASS_NAMES

_NO_FINDING = "No Finding"


@dataclass(frozen=True)
class LabelTable:
    """The labels of a data set.

    Attributes:
        path: label file.
        names: N image names, in the order of the file.
        labels: uint8 [N, C], 0 or 1.
        patients: N patients, None if neither a column nor the image name identifies the patient.
        classes: C findings.
        uncertain: number of uncertain labels per finding.
        blank: number of blank labels per finding, which count as absent.
        dropped: number of images left out because of an uncertain label.
        parts: `train`, `val`, `test` or empty for each image; empty if the file does not define parts.
        notes: sentences on the file: rows that were joined, merged or left out.
    """

    path: Path
    names: tuple[str, ...]
    labels: np.ndarray
    patients: tuple[str | None, ...]
    classes: tuple[str, ...]
    uncertain: tuple[int, ...]
    blank: tuple[int, ...]
    dropped: int = 0
    parts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def find(self, names: Sequence[str]) -> np.ndarray:
        """Return the rows of images, int64 [len(names)], -1 if absent. Images are compared by name, then `image_id`."""
        row_by_name = {name: row for row, name in enumerate(self.names)}
        rows = np.array([row_by_name.get(name, -1) for name in names], np.int64)
        absent = np.flatnonzero(rows < 0).tolist()
        if absent:
            row_by_id = {image_id(name): row for row, name in enumerate(self.names)}
            rows[absent] = [row_by_id.get(image_id(names[index]), -1) for index in absent]
        return rows


def read_nih(path: str | os.PathLike[str]) -> LabelTable:
    """Read `Data_Entry_2017.csv` or `Data_Entry_2017_v2020.csv`, plain or gzip-compressed (.csv.gz).

    Columns are found by their names, because `OriginalImage[Width,Height]` is two columns in one of the releases.

    Raises:
        InputError: the file is missing, not text or has no images, a column is missing, or a line is malformed: wrong
            number of columns, a finding that is not in CLASS_NAMES, a repeated image, or a patient that contradicts
            the image name.
    """
    rows = _LabelRows(path, ("Image Index", "Finding Labels", "Patient ID"))
    # Most rows have the same text as an earlier one, so each text is parsed once.
    index_by_text: dict[str, int] = {}
    parsed: list[list[int]] = []
    indices, patients = [], []
    for line, name, (findings, number) in rows:
        where = rows.where(line)
        if findings not in index_by_text:
            index_by_text[findings] = len(parsed)
            parsed.append(_parse_findings(findings, where))
        indices.append(index_by_text[findings])
        patient = parse_patient(number, "Patient ID", where).zfill(8)
        if patient_id(name) not in (patient, None):
            raise InputError(
                f"{where}: {shorten(name)} has patient {shorten(number)}, expected the patient in the image name"
            )
        patients.append(patient)
    zeros = (0,) * len(CLASS_NAMES)
    labels = np.array(parsed, np.uint8)[indices]
    return LabelTable(rows.path, rows.names, labels, tuple(patients), CLASS_NAMES, uncertain=zeros, blank=zeros)


def format_table(table: LabelTable, uncertain: str | None = None) -> str:
    """Describe a table, one fact per line: images, patients, notes, and uncertain and blank labels.

    Args:
        table: the table.
        uncertain: treatment of uncertain labels, see `csv_tables.read_csv`.
    """
    unknown = table.patients.count(None)
    patients = f"{len({*table.patients} - {None}):,} patients"
    if unknown:
        patients = f"{patients.replace('patients', 'known patients')}; the patients of {unknown:,} images are unknown"
    lines = [f"{table.path}: {len(table):,} images of {patients}", *table.notes]
    for name, unsure, blank in zip(table.classes, table.uncertain, table.blank, strict=True):
        lines += [f"{name}: {unsure:,} uncertain, --uncertain {uncertain}"] if unsure else []
        lines += [f"{name}: {blank:,} blank, treated as absent"] if blank else []
    if table.dropped:
        lines.append(f"{table.dropped:,} images with uncertain labels left out")
    return "\n".join(f"=> {line}" for line in lines)


def one_patient_per_image(table: LabelTable) -> LabelTable:
    """Return the table with each image as its own patient, for data sets without two images of the same patient.

    Raises:
        InputError: image names show that two images belong to the same patient.
    """
    first: dict[str, str] = {}
    for name in table.names:
        patient = patient_id(name)
        if patient is not None and first.setdefault(patient, name) != name:
            raise InputError(
                f"{table.path}: {shorten(first[patient])} and {shorten(name)} have names of the same patient, "
                f"{patient}; leave out --each_image_a_patient"
            )
    return replace(table, patients=table.names)


class _LabelRows:
    """Iterate over the rows of a label file: line number, image name (checked to be unique), and the other columns."""

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[str]) -> None:
        self._file = CsvFile(path, "label file")
        self._columns = [self._file.find(column) for column in columns]
        self.path = self._file.path
        self.first_line: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Image names of the rows read so far."""
        return tuple(self.first_line)

    def where(self, line: int) -> str:
        """Return file and line as the beginning of a message."""
        return self._file.where(line)

    def __iter__(self) -> Iterator[tuple[int, str, list[str]]]:
        for line, (raw_name, *values) in self._file.rows(self._columns):
            name = checked_name(raw_name, self._file.where(line))
            if self.first_line.setdefault(name, line) != line:
                raise InputError(
                    f"{self.where(line)}: {shorten(name)} is already in line {self.first_line[name]}, expected each "
                    "image once"
                )
            yield line, name, values
        if not self.first_line:
            raise InputError(f"{self.path}: no images, expected one per line below the header")


def _parse_findings(text: str, where: str) -> list[int]:
    findings = text.split("|")
    if findings == [_NO_FINDING]:
        findings = []
    if len(set(findings)) < len(findings) or not set(findings) <= set(CLASS_NAMES):
        raise InputError(
            f"{where}: the findings are {text!r}, expected {_NO_FINDING!r} or different ones of {'|'.join(CLASS_NAMES)}"
        )
    return [int(name in findings) for name in CLASS_NAMES]


def parse_patient(patient: str, column: str, where: str) -> str:
    """Return the patient in a cell. Raises InputError if it is empty or not printable."""
    if not patient or not patient.isprintable():
        found = shorten(patient) if patient else "empty"
        raise InputError(f"{where}: the column {column!r} is {found}, expected a patient")
    return patient
