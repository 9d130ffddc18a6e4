"""List files: `name v1 ... v14`, white-space separated, one image a line."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.data.lists.image_names import clean_name
from chexnet.data.lists.label_values import UNCERTAIN, parse_label
from chexnet.data.lists.patients import Patients, read_patients
from chexnet.errors import InputError
from chexnet.files.text_files import read_text, shorten
from chexnet.labels import N_CLASSES


@dataclass(frozen=True)
class ImageList:
    """A list file in memory.

    Attributes:
        path: where it came from.
        names: N file names relative to the image folder, in the file's order.
        labels: uint8 [N, C], 0 or 1.
        lines: the N lines on which they stand, counted from 1.
        patients: whose images they are.
    """

    path: Path
    names: tuple[str, ...]
    labels: np.ndarray
    lines: Sequence[int]
    patients: Patients

    def __len__(self) -> int:
        return len(self.names)

    def without(self, lines: Collection[int]) -> "ImageList":
        """The list without the images on some of its lines."""
        kept = [index for index, line in enumerate(self.lines) if line not in lines]
        patients = self.patients.of(kept)
        return ImageList(self.path, patients.names, self.labels[kept], [self.lines[index] for index in kept], patients)


def read_list(path: str | os.PathLike[str], n_classes: int = N_CLASSES) -> ImageList:
    """Read and check a whole list file; white space at its end is ignored.

    A name may have spaces in it. Labels may be spelled as in CSV files, see `parse_label`. `NAME.patients.csv` beside
    `NAME.txt` says whose images they are, see `read_patients`.

    Args:
        path: the file, as it is or packed with gzip (.gz).
        n_classes: labels per line; 0 for a file of names alone, as NIH's `test_list.txt`.

    Raises:
        InputError: the file is missing, empty or not text, its patients are those of another list, or the first line
            that is malformed: wrong number of columns, a label other than 0 or 1, a name seen before or one that
            leaves the folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "val.txt").write_text("a.png 0 1\\nb.png 1 1\\n")
        ...     images = read_list(Path(folder, "val.txt"), n_classes=2)
        >>> images.names, images.labels.tolist()
        (('a.png', 'b.png'), [[0, 1], [1, 1]])
    """
    path = Path(path)
    lines = _read_lines(path)
    file = str(path)
    known: dict[str, int] = {}  # the text of a line's labels -> its row in `rows`: few differ, so each is parsed once
    rows: list[list[int]] = []
    row_of_line = np.empty(len(lines), dtype=np.int64)
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name, values = (*line.rstrip().split(None, 1), "", "")[:2]
        row = known.get(values) if n_classes else None
        if row is None:
            name, values, labels = _parse_line(line, n_classes, f"{file}:{number}")
            row = known.setdefault(values, len(rows))
            if row == len(rows):
                rows.append(labels)
        row_of_line[number - 1] = row
        name = clean_name(name, f"{file}:{number}")
        if first_line.setdefault(name, number) != number:
            raise InputError(
                f"{path}:{number}: {shorten(name)} stands in line {first_line[name]} already, expected it once"
            )
    names = tuple(first_line)
    labels_of_lines = np.array(rows, dtype=np.uint8)[row_of_line]
    return ImageList(path, names, labels_of_lines, range(1, len(lines) + 1), read_patients(path, names))


def format_list(names: Sequence[str], labels: np.ndarray) -> str:
    """Format a list file, one line per image: N names and [N, C] labels of 0 or 1 -> text.

    >>> format_list(["a.png", "b.png"], np.array([[0, 1], [1, 1]])).splitlines()
    ['a.png 0 1', 'b.png 1 1']
    """
    texts: dict[tuple[int, ...], str] = {}  # few rows differ, so each is written once
    lines = []
    for name, row in zip(names, map(tuple, labels.tolist()), strict=True):
        if row not in texts:
            texts[row] = " ".join(map(str, row))
        lines.append(f"{name} {texts[row]}\n")
    return "".join(lines)


def _read_lines(path: Path) -> list[str]:
    text = read_text(path, "list file").rstrip()
    if not text:
        raise InputError(f"{path}: the list is empty, expected one image a line")
    return text.split("\n")


_LONGEST_NAME = 10_000
_LONGEST_LABEL = 16
"""Characters that a name and a label, with the white space before it, can have in a line."""


def _parse_line(line: str, n_classes: int, where: str) -> tuple[str, str, list[int]]:
    """The name of a line, the text of its labels, and these.

    A name may have spaces, but cannot end in a word that could be a label: so a line with too many is noticed.
    """
    longest = _LONGEST_NAME + _LONGEST_LABEL * n_classes
    if len(line) > longest:
        raise InputError(f"{where}: {len(line):,} characters in a line, expected {longest:,} at most")
    words = line.split()
    found = 0
    while found < len(words) - 1 and parse_label(words[-1 - found]) is not None:  # the first word is the name's
        found += 1
    if not words or found != n_classes:
        raise InputError(f"{where}: {_fault(words, found, n_classes)}")
    name = line.rsplit(None, n_classes)[0]
    labels = [parse_label(word) for word in words[len(words) - n_classes :]]
    if UNCERTAIN in labels:
        column = labels.index(UNCERTAIN)
        raise InputError(
            f"{where}: label {column + 1} is {words[column - n_classes]!r}, uncertain; expected 0 or 1 (of a CSV, "
            "tools/prepare_lists.py --uncertain decides it)"
        )
    return name.strip(), line[len(name) :].strip(), [label for label in labels if label is not None]


def _fault(words: Sequence[str], found: int, n_classes: int) -> str:
    """What is wrong with the labels of a line."""
    if not words and n_classes == 0:
        return f"the line is empty, expected {_form(n_classes)}"
    if len(words) == n_classes + 1 and found < n_classes:
        column = n_classes - found
        return f"label {column} is {shorten(words[column])}, expected 0 or 1"
    told = f"{found} labels after the name, expected {n_classes}: {_form(n_classes)}"
    if found == 0 and any("," in word or ";" in word for word in words):
        told += "; for CSV files there is tools/prepare_lists.py --csv"
    return told


def _form(n_classes: int) -> str:
    if n_classes == 0:
        return "a name alone"
    values = "v1" if n_classes == 1 else f"v1 ... v{n_classes}"
    return f"`name {values}`, one for each class (--classes_file FILE names others)"
