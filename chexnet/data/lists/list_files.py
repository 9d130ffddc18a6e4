"""List files: `name v1 ... v14`, separated by white space, one image per line."""

import os
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.data.lists.image_names import clean_name
from chexnet.data.lists.label_values import UNCERTAIN, parse_label
from chexnet.data.lists.packed_names import PackedNames
from chexnet.data.lists.patients import Patients, read_patients
from chexnet.errors import InputError
from chexnet.files.text_files import read_text, shorten
from chexnet.labels import N_CLASSES


@dataclass(frozen=True)
class ImageList:
    """A list file in memory.

    Attributes:
        path: list file.
        names: N file names relative to the image folder, in the order of the list.
        labels: uint8 [N, C], 0 or 1.
        lines: N line numbers, from 1.
        patients: patients of the N images.
    """

    path: Path
    names: Sequence[str]
    labels: np.ndarray
    lines: Sequence[int]
    patients: Patients

    def __len__(self) -> int:
        return len(self.names)

    def without(self, lines: Collection[int]) -> "ImageList":
        """Return the list without the images in the given lines."""
        kept = array("q", (index for index, line in enumerate(self.lines) if line not in lines))
        patients = self.patients.select(kept)
        numbers = array("q", (self.lines[index] for index in kept))
        return ImageList(self.path, patients.names, self.labels[kept], numbers, patients)


def read_list(path: str | os.PathLike[str], n_classes: int = N_CLASSES) -> ImageList:
    """Read and check a whole list file. White space at its end is ignored.

    Names may contain spaces. Labels may be spelled as in CSV files, see `parse_label`. The patients are read from
    `NAME.patients.csv` next to `NAME.txt`, if it exists, see `read_patients`.

    Args:
        path: list file, plain or gzip-compressed (.gz).
        n_classes: labels per line; 0 for a list with names only, such as NIH's `test_list.txt`.

    Raises:
        InputError: the file is missing, empty or not text, the patient file belongs to another list, or a line is
            malformed: wrong number of labels, a label other than 0 or 1, a repeated name, or a name that leads out of
            the image folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "val.txt").write_text("a.png 0 1\\nb.png 1 1\\n")
        ...     images = read_list(Path(folder, "val.txt"), n_classes=2)
        >>> list(images.names), images.labels.tolist()
        (['a.png', 'b.png'], [[0, 1], [1, 1]])
    """
    path = Path(path)
    file = str(path)
    names = PackedNames()
    # Most lines have the same label text as an earlier one, so each text is parsed once.
    index_by_text: dict[str, int] = {}
    parsed: list[list[int]] = []
    indices = array("i")
    try:
        for number, line in enumerate(_read_lines(path), start=1):
            name, values = (*line.rstrip().split(None, 1), "", "")[:2]
            index = index_by_text.get(values) if n_classes else None
            if index is None:
                name, values, row = _parse_line(line, n_classes, f"{file}:{number}")
                index = index_by_text.setdefault(values, len(parsed))
                if index == len(parsed):
                    parsed.append(row)
            names.append(clean_name(name, f"{file}:{number}"))
            indices.append(index)
    except InputError:
        _refuse_repeats(path, names)  # the first error in the file is reported
        raise
    _refuse_repeats(path, names)
    labels = np.array(parsed, dtype=np.uint8)[np.frombuffer(indices, dtype="i")]
    return ImageList(path, names, labels, range(1, len(names) + 1), read_patients(path, names))


def count_labels(path: str | os.PathLike[str]) -> int:
    """Return the number of labels per line of a list: that of its first line.

    Raises:
        InputError: the list is missing, empty or not text.
    """
    words = next(_read_lines(Path(path))).split()[1:]
    return next((found for found, word in enumerate(reversed(words)) if parse_label(word) is None), len(words))


def _refuse_repeats(path: Path, names: PackedNames) -> None:
    if repeat := names.first_repeat():
        earlier, row = repeat
        raise InputError(
            f"{path}:{row + 1}: {shorten(names[row])} is already in line {earlier + 1}, expected each image once"
        )


def format_list(names: Sequence[str], labels: np.ndarray) -> str:
    """Format a list file from N names and [N, C] labels of 0 or 1, one line per image.

    >>> format_list(["a.png", "b.png"], np.array([[0, 1], [1, 1]])).splitlines()
    ['a.png 0 1', 'b.png 1 1']
    """
    texts: dict[tuple[int, ...], str] = {}  # most rows repeat an earlier one, so each is formatted once
    lines = []
    for name, row in zip(names, map(tuple, labels.tolist()), strict=True):
        if row not in texts:
            texts[row] = " ".join(map(str, row))
        lines.append(f"{name} {texts[row]}\n")
    return "".join(lines)


def _read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a list up to the last that is not white space, without copies of the whole text."""
    text = read_text(path, "list file", MAX_BYTES)
    end = len(text)
    while end and text[end - 1].isspace():
        end -= 1
    if not end:
        raise InputError(f"{path}: the list is empty, expected one image per line")
    start = 0
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        yield text[start:stop]
        start = stop + 1


MAX_BYTES = 2**30
"""Maximum size of a list, uncompressed: twice that of 10 million lines with 14 labels."""

_LONGEST_NAME = 10_000
_LONGEST_LABEL = 16
"""Maximum number of characters in a name, and in a label with the white space before it."""


def _parse_line(line: str, n_classes: int, where: str) -> tuple[str, str, list[int]]:
    """Return the name in a line, the text of its labels, and the labels.

    A name may contain spaces, but its last word must not look like a label. This detects lines with too many labels.
    """
    longest = _LONGEST_NAME + _LONGEST_LABEL * n_classes
    if len(line) > longest:
        raise InputError(f"{where}: the line has {len(line):,} characters, expected at most {longest:,}")
    words = line.split()
    found = 0
    while found < len(words) - 1 and parse_label(words[-1 - found]) is not None:  # the first word is part of the name
        found += 1
    if not words or found != n_classes:
        raise InputError(f"{where}: {_fault(words, found, n_classes)}")
    name = line.rsplit(None, n_classes)[0]
    labels = [parse_label(word) for word in words[len(words) - n_classes :]]
    if UNCERTAIN in labels:
        column = labels.index(UNCERTAIN)
        raise InputError(
            f"{where}: label {column + 1} is uncertain, {words[column - n_classes]!r}; expected 0 or 1 (to convert a "
            "CSV with uncertain labels, use tools/prepare_lists.py --uncertain)"
        )
    return name.strip(), line[len(name) :].strip(), [label for label in labels if label is not None]


def _fault(words: Sequence[str], found: int, n_classes: int) -> str:
    """Describe the error in the labels of a line."""
    if not words and n_classes == 0:
        return f"the line is empty, expected {_form(n_classes)}"
    if len(words) == n_classes + 1 and found < n_classes:
        column = n_classes - found
        return f"label {column} is {shorten(words[column])}, expected 0 or 1"
    message = f"{found} labels after the name, expected {n_classes}: {_form(n_classes)}"
    if found == 0 and any("," in word or ";" in word for word in words):
        message += "; convert CSV files with tools/prepare_lists.py --csv"
    return message


def _form(n_classes: int) -> str:
    if n_classes == 0:
        return "only a name"
    values = "v1" if n_classes == 1 else f"v1 ... v{n_classes}"
    return f"`name {values}`, one label per class (--classes_file FILE sets other classes)"
