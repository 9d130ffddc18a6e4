"""Label files of data sets: NIH's own, and any CSV with a column for each finding."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.lists.list_files import check_inside
from chexnet.lists.names import image_of, patient_of
from chexnet.lists.text_files import read_text

_NO_FINDING = "No Finding"
_UNCERTAIN = -1
_VALUES = {"0": 0, "0.0": 0, "1": 1, "1.0": 1, "-1": _UNCERTAIN, "-1.0": _UNCERTAIN, "": 0}
"""What a label can be in a CSV. Blank is absent: CheXpert leaves a finding blank that a report does not mention."""


@dataclass(frozen=True)
class LabelTable:
    """The labels of a data set.

    Attributes:
        path: the file they came from.
        names: N image files, in its order.
        labels: uint8 [N, C], 0 or 1.
        patients: whose image each is.
        classes: the C findings.
        uncertain: how many labels were uncertain, of each finding.
        dropped: how many images were left out for that.
    """

    path: Path
    names: tuple[str, ...]
    labels: np.ndarray
    patients: tuple[str, ...]
    classes: tuple[str, ...]
    uncertain: tuple[int, ...]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def find(self, names: Sequence[str]) -> np.ndarray:
        """The rows of images, int64 [len(names)], -1 for those that it has not; `image_of` says which are the same."""
        row_of = {name: row for row, name in enumerate(self.names)}
        rows = np.array([row_of.get(name, -1) for name in names], np.int64)
        absent = np.flatnonzero(rows < 0).tolist()
        if absent:
            row_of_image = {image_of(name): row for row, name in enumerate(self.names)}
            rows[absent] = [row_of_image.get(image_of(names[place]), -1) for place in absent]
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
    for line, (name, findings, number) in rows:
        if findings not in known:
            known[findings] = len(parsed)
            parsed.append(_parse_findings(findings, rows.where(line)))
        chosen.append(known[findings])
        patient = number.zfill(8)
        if patient_of(name) not in (patient, name):
            raise InputError(
                f"{rows.where(line)}: {name} is said to be of patient {number}, expected the one in its name"
            )
        patients.append(patient)
    none = (0,) * len(CLASS_NAMES)
    labels = np.array(parsed, np.uint8)[chosen]
    return LabelTable(rows.path, rows.names, labels, tuple(patients), CLASS_NAMES, none)


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
    if len(set(label_columns)) != len(label_columns):
        raise InputError(f"--label_columns {','.join(label_columns)}: expected each once")
    rows = _Rows(path, (image_column, *label_columns, *([patient_column] if patient_column else [])))
    found, patients = [], []
    for line, (name, *values) in rows:
        patients.append(values.pop() if patient_column else patient_of(name))
        if not patients[-1]:
            raise InputError(f"{rows.where(line)}: the column {patient_column!r} is empty, expected whose image it is")
        found.append(_parse_values(values, label_columns, rows.where(line), uncertain))
    raw = np.array(found, np.int8)  # [N, C]
    counts = (raw == _UNCERTAIN).sum(axis=0)
    kept = (raw != _UNCERTAIN).all(axis=1) if uncertain == "drop" else np.ones(len(raw), bool)
    if not kept.any():
        raise InputError(f"{path}: every image has an uncertain label, so that --uncertain drop leaves none")
    labels = np.where(raw == _UNCERTAIN, uncertain == "ones", raw).astype(np.uint8)[kept]
    names, owners = (tuple(one[row] for row in np.flatnonzero(kept)) for one in (rows.names, patients))
    dropped = len(raw) - len(names)
    return LabelTable(rows.path, names, labels, owners, tuple(label_columns), tuple(counts.tolist()), dropped)


class _Rows:
    """The wanted columns of a CSV, row by row, with the line it is on; the first has image names, each once."""

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[str]) -> None:
        self.path = Path(path)
        self.first_line: dict[str, int] = {}
        text = read_text(path, "label file")
        self._reader = csv.reader(io.StringIO(text), strict=True, skipinitialspace=True)
        header = [column.strip() for column in self._next() or []]
        while header and not header[-1]:  # the release of 2017 has an empty one
            header.pop()
        for column in columns:
            if header.count(column) != 1:
                raise InputError(
                    f"{path}:1: {header.count(column)} columns {column!r}, expected one; there are {', '.join(header)}"
                )
        self._width = len(header)
        self._columns = [header.index(column) for column in columns]

    @property
    def names(self) -> tuple[str, ...]:
        """The image names of the rows so far."""
        return tuple(self.first_line)

    def where(self, line: int) -> str:
        """For the beginning of a message."""
        return f"{self.path}:{line}"

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        line = self._reader.line_num + 1
        while (row := self._next()) is not None:
            if any(row):
                if len(row) != self._width and (len(row) < self._width or any(row[self._width :])):
                    raise InputError(f"{self.where(line)}: {len(row)} columns, expected {self._width} as in the header")
                values = [row[column] for column in self._columns]
                self._check_name(values[0], line)
                yield line, values
            line = self._reader.line_num + 1
        if not self.first_line:
            raise InputError(f"{self.path}: no images, expected one a line below the header")

    def _next(self) -> list[str] | None:
        """The next row, None at the end."""
        try:
            return next(self._reader, None)
        except csv.Error as error:
            raise InputError(f"{self.where(self._reader.line_num)}: not a CSV file: {error}") from error

    def _check_name(self, name: str, line: int) -> None:
        if not name or " " in name or not name.isprintable():  # which white space other than " " is not
            raise InputError(
                f"{self.where(line)}: the image name is {name!r}, expected one without white space, as in list files"
            )
        if self.first_line.setdefault(name, line) != line:
            raise InputError(
                f"{self.where(line)}: {name} stands in line {self.first_line[name]} already, expected it once"
            )
        if "/" in name or "\\" in name:
            check_inside(name, self.where(line))


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


def _parse_values(values: Sequence[str], columns: Sequence[str], where: str, uncertain: str | None) -> list[int]:
    labels = [_VALUES.get(value) for value in values]
    for label, value, column in zip(labels, values, columns, strict=True):
        if label is None:
            raise InputError(f"{where}: {column} is {value!r}, expected 0, 1, -1 for uncertain, or nothing for absent")
        if label == _UNCERTAIN and uncertain is None:
            raise InputError(f"{where}: {column} is uncertain (-1); say what that is: --uncertain zeros, ones or drop")
    return [label for label in labels if label is not None]
