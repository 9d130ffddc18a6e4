"""iChallenge-PM's folders and labels as this library's lists."""

import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chexnet.errors import InputError
from chexnet.files import write_text
from chexnet.lists import format_list
from chexnet.lists.classes import CLASSES_FILE, format_classes
from chexnet.lists.text_files import read_text

CLASS = "Pathologic myopia"
TRAINING = "PALM-Training400"
VALIDATION = "PALM-Validation400"
NAME_COLUMN, LABEL_COLUMN = "imgName", "Label"

_LABEL_OF = {"P": 1, "H": 0, "N": 0}
"""By the first letter of a training image's name: pathologic, high (but not pathologic) myopia, normal."""


class Lists(NamedTuple):
    """The files of a run, all in its folder."""

    train: Path
    val: Path
    classes: Path


def write_lists(data: str | os.PathLike[str], labels: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Lists:
    """Writes the two lists, of one column each, and the name of their class.

    Args:
        data: folder with TRAINING and VALIDATION, unpacked. The names in the lists begin there.
        labels: CSV or XLSX with the columns NAME_COLUMN and LABEL_COLUMN, a row for each image of VALIDATION.
        folder: where to.

    Raises:
        InputError: a folder is missing or packed still, a training image's name says nothing of its label, or an
            image has no label, a label no image, or either is something else; nothing is written.
    """
    of_training = _label_by_name(_images(Path(data), TRAINING))
    of_validation = _label_by_table(_images(Path(data), VALIDATION), Path(labels))
    lists = Lists(*(Path(folder) / name for name in ("train_list.txt", "val_list.txt", CLASSES_FILE)))
    for path, label_of in ((lists.train, of_training), (lists.val, of_validation)):
        names = [image.relative_to(data).as_posix() for image in label_of]
        write_text(path, format_list(names, np.array([[label] for label in label_of.values()], np.uint8)))
    write_text(lists.classes, format_classes([CLASS]))
    return lists


def read_labels(path: Path) -> dict[str, int]:
    """Image -> label, 0 or 1, of a CSV or XLSX file; columns other than NAME_COLUMN and LABEL_COLUMN are not read.

    Raises:
        InputError: the file cannot be read, a column is missing, or the first row without a name and a label of its
            own.
    """
    rows = _xlsx_rows(path) if path.suffix.lower() == ".xlsx" else _csv_rows(path)
    header = next(rows, (1, []))[1]
    columns = []
    for column in (NAME_COLUMN, LABEL_COLUMN):
        if header.count(column) != 1:
            raise InputError(f"{path}:1: {header.count(column)} columns {column!r}, expected one; there are {header}")
        columns.append(header.index(column))
    labels: dict[str, int] = {}
    for number, row in rows:
        if not any(row):
            continue
        name, label = (row[column] if column < len(row) else "" for column in columns)
        if not name or name in labels:
            raise InputError(f"{path}:{number}: {NAME_COLUMN} is {name!r}, expected the name of an image, each once")
        if label not in ("0", "1"):
            raise InputError(f"{path}:{number}: {LABEL_COLUMN} of {name} is {label!r}, expected 0 or 1")
        labels[name] = int(label)
    return labels


def _images(data: Path, name: str) -> list[Path]:
    """The files of one of the two folders; unpacking as published may have put it into one of its own name."""
    folder = data / name
    if (folder / name).is_dir():
        folder /= name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected the images of {name}.zip, unpacked there")
    files = sorted(folder.iterdir())
    if packed := [file.name for file in files if file.suffix.lower() == ".zip"]:
        raise InputError(f"{folder}: holds {packed[0]}, expected images; unpack it there, and move the archive away")
    if not files:
        raise InputError(f"{folder}: is empty, expected images")
    return files


def _label_by_name(images: list[Path]) -> dict[Path, int]:
    for image in images:
        if not re.fullmatch(r"[PHN]\S*\.jpg", image.name):
            raise InputError(
                f"{image}: the name says nothing of the label, expected one like P0001.jpg (pathologic myopia), "
                "H0001.jpg (high myopia) or N0001.jpg (normal); move other files away"
            )
    return {image: _LABEL_OF[image.name[0]] for image in images}


def _label_by_table(images: list[Path], table: Path) -> dict[Path, int]:
    labels = read_labels(table)
    names = [image.name for image in images]
    for wanted, given, what in ((names, labels, "images without a label"), (labels, names, "labels without an image")):
        if absent := sorted(set(wanted) - set(given)):
            shown = ", ".join(absent[:5]) + ", ..." * (len(absent) > 5)
            raise InputError(f"{table}: {len(absent)} {what} in {images[0].parent}, expected none: {shown}")
    return {image: labels[image.name] for image in images}


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row."""
    reader = csv.reader(io.StringIO(read_text(path, "label file")), strict=True)
    try:
        for row in reader:
            yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not a CSV file: {error}") from error


def _xlsx_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each row of the first sheet."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise InputError(
            f"{path}: XLSX is read by openpyxl, which is not installed: pip install openpyxl, or save the file as CSV"
        ) from error
    try:
        workbook = load_workbook(path, read_only=True, data_only=True)
        rows = list(workbook.worksheets[0].iter_rows(values_only=True))
    except Exception as error:  # what openpyxl, zipfile and their XML reader raise is not a closed list
        raise InputError(f"{path}: not readable as XLSX: {str(error) or type(error).__name__}") from error
    for number, row in enumerate(rows, start=1):
        yield number, ["" if cell is None else str(cell).strip() for cell in row]
