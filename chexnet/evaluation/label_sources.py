"""Label files for comparison: list files, NIH's label file, and CSV files with one column per finding."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.data.lists import (
    CLASSES_FILE,
    Patients,
    check_classes,
    class_names,
    parse_label,
    read_classes,
    read_list,
    read_nih,
)
from chexnet.errors import InputError
from chexnet.evaluation.prediction_table import IMAGE_COLUMNS, PATIENT_COLUMNS, find_image_column, image_name, plain
from chexnet.files.csv_files import CsvFile
from chexnet.files.text_files import shorten, shorten_all


@dataclass(frozen=True)
class LabelFile:
    """Labels of N images.

    Attributes:
        origin: path of the file.
        names: N image names, each once.
        findings: names of the C findings.
        labels: uint8 [N, C], 0 or 1.
        patients: patients of the images.
    """

    origin: str
    names: Sequence[str]
    findings: tuple[str, ...]
    labels: np.ndarray
    patients: Patients


def read_labels(path: str | os.PathLike[str], classes: str | os.PathLike[str] | None = None) -> LabelFile:
    """Read a label file.

    Args:
        path: list file (.txt, .txt.gz); NIH's Data_Entry_2017*.csv; or a CSV file with a column of image names and one
            column of 0 and 1 (or yes and no, true and false) per finding. A prefix `label_` is left out.
        classes: file with the findings, one per line. None takes, for a list, the `classes.txt` next to it or the 14;
            for a CSV file, every column in which most cells are labels.

    Raises:
        InputError: the file cannot be read, an image is repeated, a label is neither 0 nor 1, a finding has no column,
            or there is no finding.
    """
    if str(path).endswith((".txt", ".txt.gz")):
        return _read_list(path, classes)
    table = CsvFile(path, "label file")
    if any(plain(column) == "finding labels" for column in table.header):
        found = read_nih(path)
        patients = Patients(found.names, found.patients, str(path))
        return _selected(LabelFile(str(path), found.names, found.classes, found.labels, patients), classes)
    return _read_csv(table, classes)


def _read_list(path: str | os.PathLike[str], classes: str | os.PathLike[str] | None) -> LabelFile:
    beside = Path(path).with_name(CLASSES_FILE)
    findings = class_names(classes or (beside if beside.exists() else None))
    images = read_list(path, len(findings))
    check_classes(path, findings)
    return LabelFile(str(path), images.names, findings, images.labels, images.patients)


def _selected(found: LabelFile, classes: str | os.PathLike[str] | None) -> LabelFile:
    if classes is None:
        return found
    wanted = read_classes(classes)
    missing = [name for name in wanted if name not in found.findings]
    if missing:
        raise InputError(
            f"{classes}: {shorten(missing[0])} is not in {found.origin}, expected findings of "
            f"{shorten_all(found.findings)}"
        )
    columns = [found.findings.index(name) for name in wanted]
    return LabelFile(found.origin, found.names, wanted, found.labels[:, columns], found.patients)


def _read_csv(table: CsvFile, classes: str | os.PathLike[str] | None) -> LabelFile:
    image = find_image_column(table)
    patient = next(
        (index for index, name in enumerate(table.header) if plain(name) in map(plain, PATIENT_COLUMNS)), None
    )
    lines: dict[str, int] = {}
    rows = []
    for line, cells in table.rows(range(len(table.header))):
        name = image_name(cells[image], table.where(line))
        if lines.setdefault(name, line) != line:
            raise InputError(
                f"{table.where(line)}: {shorten(name)} is already in line {lines[name]}, expected each image once"
            )
        rows.append(cells)
    if not rows:
        raise InputError(f"{table.path}: no line below the header, expected one per image")
    columns = _finding_columns(table, rows, classes)
    labels = np.empty((len(rows), len(columns)), np.uint8)
    for row, (line, cells) in enumerate(zip(lines.values(), rows, strict=True)):
        for column, (name, index) in enumerate(columns.items()):
            label = parse_label(cells[index])
            if label not in (0, 1):
                raise InputError(
                    f"{table.where(line)}: {name} is {shorten(cells[index])}, expected 0 or 1 (or yes and no); "
                    "tools/prepare_lists.py converts uncertain and blank labels"
                )
            labels[row, column] = label
    names = tuple(lines)
    ids = None if patient is None else tuple(cells[patient] or None for cells in rows)
    patients = Patients(names, ids, str(table.path)) if ids else Patients(names)
    return LabelFile(str(table.path), names, tuple(columns), labels, patients)


def _finding_columns(
    table: CsvFile, rows: Sequence[Sequence[str]], classes: str | os.PathLike[str] | None
) -> dict[str, int]:
    """Return the columns of the findings by name."""
    if classes:
        return {name: table.find(name) for name in read_classes(classes)}
    others = {plain(name) for name in (*IMAGE_COLUMNS, *PATIENT_COLUMNS)}
    columns: dict[str, int] = {}
    for index, name in enumerate(table.header):
        filled = [row[index] for row in rows if row[index]]
        labels = sum(parse_label(cell) is not None for cell in filled)
        if name and plain(name) not in others and 2 * labels > len(filled):
            finding = name.removeprefix("label_")
            if columns.setdefault(finding, index) != index:
                raise InputError(f"{table.where(1)}: two columns {shorten(finding)}, expected each finding once")
    if not columns:
        raise InputError(
            f"{table.where(1)}: no column has labels, expected one of 0 and 1 per finding; there are "
            f"{shorten_all(table.header)}"
        )
    return columns
