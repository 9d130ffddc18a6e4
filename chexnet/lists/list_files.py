"""List files: `name v1 ... v14`, white-space separated, one image a line."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from chexnet.errors import InputError
from chexnet.labels import N_CLASSES
from chexnet.lists.text_files import read_text


@dataclass(frozen=True)
class ImageList:
    """A list file in memory.

    Attributes:
        path: where it came from.
        names: N file names relative to the image folder, in the file's order.
        labels: uint8 [N, C], 0 or 1.
        lines: the N lines on which they stand, counted from 1.
    """

    path: Path
    names: tuple[str, ...]
    labels: np.ndarray
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.names)

    def without(self, lines: Collection[int]) -> "ImageList":
        """The list without the images on some of its lines."""
        kept = [index for index, line in enumerate(self.lines) if line not in lines]
        names = tuple(self.names[index] for index in kept)
        return ImageList(self.path, names, self.labels[kept], [self.lines[index] for index in kept])


def read_list(path: str | os.PathLike[str], n_classes: int = N_CLASSES) -> ImageList:
    """Reads and checks a whole list file; white space at its end is ignored.

    Args:
        path: the file, as it is or packed with gzip (.gz).
        n_classes: labels a line; 0 for a file of names alone, as NIH's `test_list.txt`.

    Raises:
        InputError: the file is missing, empty or not text, or the first line that is malformed: wrong
            number of columns, a label other than 0 or 1, a name seen before or one that leaves the folder.
    """
    path = Path(path)
    lines = _read_lines(path)
    known: dict[str, int] = {}  # the text of a line's labels -> its row in `rows`: few differ, so each is parsed once
    rows: list[list[int]] = []
    row_of_line = np.empty(len(lines), dtype=np.int64)
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name, values = (*line.split(None, 1), "", "")[:2]
        row = known.get(values)
        if row is None:
            rows.append(_parse_labels(values.split(), n_classes, f"{path}:{number}"))
            row = known[values] = len(rows) - 1
        row_of_line[number - 1] = row
        if first_line.setdefault(name, number) != number:
            raise InputError(f"{path}:{number}: {name} stands in line {first_line[name]} already, expected it once")
        if "/" in name or "\\" in name:
            check_inside(name, f"{path}:{number}")
    return ImageList(path, tuple(first_line), np.array(rows, dtype=np.uint8)[row_of_line], range(1, len(lines) + 1))


def check_images(image_list: ImageList, data_dir: str | os.PathLike[str]) -> None:
    """Checks that every image of a list is a file below `data_dir`, listing each folder once.

    Raises:
        InputError: the folder is missing, or images are: how many, and the first ten with their lines.
    """
    missing = [f"{image_list.names[row]} (line {image_list.lines[row]})" for row in find_missing(image_list, data_dir)]
    if missing:
        shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise InputError(
            f"{image_list.path}: {len(missing)} of {len(image_list)} images are missing in {data_dir}: {shown}"
        )


def find_missing(image_list: ImageList, data_dir: str | os.PathLike[str]) -> list[int]:
    """The rows of a list, from 0, whose images are no files below `data_dir`, listing each folder once.

    Raises:
        InputError: `data_dir` is missing.
    """
    root = Path(data_dir)
    if not root.is_dir():
        raise InputError(f"{root}: no such image folder (--data_dir), which {image_list.path} refers to")
    folders: dict[str, set[str]] = {}
    missing = []
    for row, name in enumerate(image_list.names):
        folder, _, base = name.rpartition("/")
        if folder not in folders:
            inside = root / folder
            folders[folder] = set(os.listdir(inside)) if inside.is_dir() else set()
        if base not in folders[folder]:
            missing.append(row)
    return missing


def format_list(names: Sequence[str], labels: np.ndarray) -> str:
    """The text of a list file: names and [N, C] labels of 0 or 1 -> one line each."""
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


def _parse_labels(values: list[str], n_classes: int, where: str) -> list[int]:
    if len(values) != n_classes:
        raise InputError(f"{where}: {len(values)} labels after the name, expected {n_classes}: {_form(n_classes)}")
    for column, value in enumerate(values, start=1):
        if value not in ("0", "1"):
            raise InputError(f"{where}: label {column} is {value!r}, expected 0 or 1")
    return [int(value) for value in values]


def _form(n_classes: int) -> str:
    if n_classes == 0:
        return "a name alone"
    values = "v1" if n_classes == 1 else f"v1 ... v{n_classes}"
    return f"`name {values}`, one for each class (--classes FILE names others)"


def check_inside(name: str, where: str) -> None:
    """Raises InputError, beginning with `where`, if a name leads out of the image folder."""
    if "\\" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise InputError(f"{where}: {name!r} is not a plain path inside the image folder")
