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
        path: the file they came from.
        names: N image files, in its order.
        labels: uint8 [N, C], 0 or 1.
        patients: whose image each is, None where neither a column nor its name says.
        classes: the C findings.
        uncertain: how many labels were uncertain, of each finding.
        blank: how many were blank, and so taken for absent.
        dropped: how many images were left out for an uncertain one.
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
        """The rows of images, int64 [len(names)], -1 for those that it has not; `image_of` says which are the same."""
        row_of = {name: row for row, name in enumerate(self.names)}
        rows = np.array([row_of.get(name, -1) for name in names], np.int64)
        absent = np.flatnonzero(rows < 0).tolist()
        if absent:
            row_of_image = {image_id(name): row for row, name in enumerate(self.names)}
            rows[absent] = [row_of_image.get(image_id(names[place]), -1) for place in absent]
        return rows


def read_nih(path: str | os.PathLike[str]) -> LabelTable:
    """Reads `Data_Entry_2017.csv` or `Data_Entry_2017_v2020.csv`, as it is or as .csv.gz.

    Columns are found by their names; that `OriginalImage[Width,Height]` is two columns in one release does not matter.

    Raises:
        InputError: the file is missing, no text or without images, a column is missing, or the first line with
            something wrong: number of columns, a finding that is none of CLASS_NAMES, an image that stands in it twice
            or is not of the patient that its name says.
    """
    rows = _Rows(path, ("Image Index", "Finding Labels", "Patient ID"))
    known: dict[str, int] = {}  # the text of the findings -> its row in `parsed`: few differ, so each is parsed once
    parsed: list[list[int]] = []
    chosen, patients = [], []
    for line, name, (findings, number) in rows:
        where = rows.where(line)
        if findings not in known:
            known[findings] = len(parsed)
            parsed.append(_parse_findings(findings, where))
        chosen.append(known[findings])
        patient = _parse_patient(number, "Patient ID", where).zfill(8)
        if patient_id(name) not in (patient, None):
            raise InputError(
                f"{where}: {shorten(name)} is said to be of patient {shorten(number)}, expected the one in its name"
            )
        patients.append(patient)
    none = (0,) * len(CLASS_NAMES)
    labels = np.array(parsed, np.uint8)[chosen]
    return LabelTable(rows.path, rows.names, labels, tuple(patients), CLASS_NAMES, none, none)


def read_csv(
    path: str | os.PathLike[str],
    image_column: str,
    label_columns: Sequence[str],
    patient_column: str | None = None,
    uncertain: str | None = None,
) -> LabelTable:
    """Reads a CSV with a column of 0, 1, -1 for uncertain, or blank for absent, for each finding.

    Args:
        path: the file, as it is or as .csv.gz, with a header.
        image_column: has the image files, relative to the image folder.
        label_columns: the findings, which become the classes in this order.
        patient_column: has whose image each is; None takes it from the images' names, see `patient_of`.
        uncertain: what becomes of such a label: `zeros` and `ones` take it for that (U-Zeros and U-Ones of Irvin et
            al., CheXpert, AAAI 2019), `drop` leaves out the image. Its U-Ignore, which leaves out the label alone, a
            list file cannot say. None allows no uncertain label.

    Raises:
        InputError: as `read_nih`, or a label that is none of these.
    """
    try:
        validate_class_names(label_columns)
    except InputError as error:
        raise InputError(f"--label_columns: {error}") from error
    rows = _Rows(path, (image_column, *label_columns, *([patient_column] if patient_column else [])))
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
        raise InputError(f"{path}: every image has an uncertain label, so that --uncertain drop leaves none")
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


def each_image_a_patient(table: LabelTable) -> LabelTable:
    """The table of a data set of which somebody knows that no two images are of one patient.

    Raises:
        InputError: the images' names say otherwise.
    """
    first: dict[str, str] = {}
    for name in table.names:
        patient = patient_id(name)
        if patient is not None and first.setdefault(patient, name) != name:
            raise InputError(
                f"{table.path}: {shorten(first[patient])} and {shorten(name)} are of one patient by their names, "
                f"{patient}; leave out --each_image_a_patient"
            )
    return replace(table, patients=table.names)


_BLANK = 2


class _Rows:
    """The wanted columns of a CSV, row by row, with the line it is on; the first has image names, each once."""

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[str]) -> None:
        self._file = CsvFile(path, "label file")
        self._columns = [self._file.find(column) for column in columns]
        self.path = self._file.path
        self.first_line: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The image names of the rows so far."""
        return tuple(self.first_line)

    def where(self, line: int) -> str:
        """For the beginning of a message."""
        return self._file.where(line)

    def __iter__(self) -> Iterator[tuple[int, str, list[str]]]:
        for line, (said, *values) in self._file.rows(self._columns):
            name = clean_name(said, self._file.where(line))
            if parse_label(name.rpartition(" ")[2]) is not None:
                raise InputError(
                    f"{self.where(line)}: the image name is {shorten(name)}, which ends like a label, so that it "
                    "cannot stand in a list file; expected another"
                )
            if self.first_line.setdefault(name, line) != line:
                raise InputError(
                    f"{self.where(line)}: {shorten(name)} stands in line {self.first_line[name]} already, expected it "
                    "once"
                )
            yield line, name, values
        if not self.first_line:
            raise InputError(f"{self.path}: no images, expected one a line below the header")


def _parse_findings(findings: str, where: str) -> list[int]:
    named = findings.split("|")
    if named == [_NO_FINDING]:
        named = []
    for one in named:
        if one not in CLASS_NAMES or named.count(one) > 1:
            raise InputError(
                f"{where}: findings {findings!r}, expected {_NO_FINDING!r} or, each once, of {'|'.join(CLASS_NAMES)}"
            )
    return [int(name in named) for name in CLASS_NAMES]


def _parse_patient(patient: str, column: str, where: str) -> str:
    if not patient or not patient.isprintable():
        found = shorten(patient) if patient else "empty"
        raise InputError(f"{where}: the column {column!r} is {found}, expected whose image it is")
    return patient


def _parse_values(values: Sequence[str], columns: Sequence[str], where: str, uncertain: str | None) -> list[int | None]:
    labels = [parse_label(value) if value else None for value in values]
    for label, value, column in zip(labels, values, columns, strict=True):
        if label is None and value:
            raise InputError(
                f"{where}: {column} is {shorten(value)}, expected 0, 1, -1 for uncertain, or nothing for absent (True "
                "and False, yes and no, positive and negative are read, too)"
            )
        if label == UNCERTAIN and uncertain is None:
            raise InputError(f"{where}: {column} is uncertain (-1); say what that is: --uncertain zeros, ones or drop")
    return labels
