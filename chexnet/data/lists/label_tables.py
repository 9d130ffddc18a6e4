"""Label files of data sets: NIH's own, and any CSV with a column for each finding."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from chexnet.data.lists.image_names import clean_name, image_id, patient_id
from chexnet.data.lists.label_values import UNCERTAIN, parse_label
from chexnet.data.lists.patients import check_agreement
from chexnet.errors import InputError
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import shorten
from chexnet.labels import CLASS_NAMES, validate_class_names

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
    """

    path: Path
    names: tuple[str, ...]
    labels: np.ndarray
    patients: tuple[str | None, ...]
    classes: tuple[str, ...]
    uncertain: tuple[int, ...]
    blank: tuple[int, ...]
    dropped: int = 0

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
        patient = _parse_patient(number, "Patient ID", where).zfill(8)
        if patient_id(name) not in (patient, None):
            raise InputError(
                f"{where}: {shorten(name)} has patient {shorten(number)}, expected the patient in the image name"
            )
        patients.append(patient)
    zeros = (0,) * len(CLASS_NAMES)
    labels = np.array(parsed, np.uint8)[indices]
    return LabelTable(rows.path, rows.names, labels, tuple(patients), CLASS_NAMES, uncertain=zeros, blank=zeros)


def read_csv(
    path: str | os.PathLike[str],
    image_column: str,
    label_columns: Sequence[str],
    patient_column: str | None = None,
    uncertain: str | None = None,
) -> LabelTable:
    """Read a CSV with one column per finding: 0, 1, -1 for uncertain, or blank for absent.

    Args:
        path: CSV file with a header, plain or gzip-compressed (.csv.gz).
        image_column: name of the column with the image files, relative to the image folder.
        label_columns: names of the finding columns, which become the classes in this order.
        patient_column: name of the column with the patients; None to take them from the image names, see `patient_id`.
        uncertain: treatment of uncertain labels. `zeros` and `ones` replace them (U-Zeros and U-Ones of Irvin et al.,
            CheXpert, AAAI 2019). `drop` leaves out the image. U-Ignore, which leaves out only the label, cannot be
            expressed in a list file. None refuses uncertain labels.

    Raises:
        InputError: as `read_nih`, or a label has another value.
    """
    try:
        validate_class_names(label_columns)
    except InputError as error:
        raise InputError(f"--label_columns: {error}") from error
    rows = _LabelRows(path, (image_column, *label_columns, *([patient_column] if patient_column else [])))
    found: list[list[int | None]] = []
    patients: list[str | None] = []
    for line, name, values in rows:
        if patient_column:
            patients.append(_parse_patient(values.pop(), patient_column, rows.where(line)))
        else:
            patients.append(patient_id(name))
        found.append(_parse_values(values, label_columns, rows.where(line), uncertain))
    if patient_column:
        check_agreement(rows.names, patients, [rows.where(line) for line in rows.first_line.values()])
    raw = np.array([[_BLANK if value is None else value for value in row] for row in found], np.int8)  # [N, C]
    kept = (raw != UNCERTAIN).all(axis=1) if uncertain == "drop" else np.ones(len(raw), bool)
    if not kept.any():
        raise InputError(f"{path}: every image has an uncertain label, so --uncertain drop leaves no images")
    labels = np.where(raw == UNCERTAIN, uncertain == "ones", raw == 1).astype(np.uint8)[kept]
    rows_kept = np.flatnonzero(kept).tolist()
    return LabelTable(
        path=rows.path,
        names=tuple(rows.names[row] for row in rows_kept),
        labels=labels,
        patients=tuple(patients[row] for row in rows_kept),
        classes=tuple(label_columns),
        uncertain=tuple((raw == UNCERTAIN).sum(axis=0).tolist()),
        blank=tuple((raw == _BLANK).sum(axis=0).tolist()),
        dropped=len(raw) - len(rows_kept),
    )


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


_BLANK = 2


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
            name = clean_name(raw_name, self._file.where(line))
            if parse_label(name.rpartition(" ")[2]) is not None:
                raise InputError(
                    f"{self.where(line)}: the image name {shorten(name)} ends like a label, which a list file does not "
                    "allow; rename the image"
                )
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


def _parse_patient(patient: str, column: str, where: str) -> str:
    if not patient or not patient.isprintable():
        found = shorten(patient) if patient else "empty"
        raise InputError(f"{where}: the column {column!r} is {found}, expected a patient")
    return patient


def _parse_values(values: Sequence[str], columns: Sequence[str], where: str, uncertain: str | None) -> list[int | None]:
    labels = [parse_label(value) if value else None for value in values]
    for label, value, column in zip(labels, values, columns, strict=True):
        if label is None and value:
            raise InputError(
                f"{where}: {column} is {shorten(value)}, expected 0, 1, -1 for uncertain, or blank for absent (or "
                "true/false, yes/no, positive/negative)"
            )
        if label == UNCERTAIN and uncertain is None:
            raise InputError(f"{where}: {column} is uncertain (-1); choose --uncertain zeros, ones or drop")
    return labels
