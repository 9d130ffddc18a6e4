"""Class files: the class names of lists that do not use the 14 of ChestX-ray14, one per line."""

import os
from collections.abc import Sequence
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files.text_files import read_text, shorten
from chexnet.labels import CLASS_NAMES, is_valid_class_name

CLASSES_FILE = "classes.txt"


def class_names(path: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Return the class names in a file, or the 14 of ChestX-ray14 without one."""
    return read_classes(path) if path else CLASS_NAMES


def read_classes(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read the class names of a file, in the order of the label columns of a list.

    Raises:
        InputError: the file is missing, empty or not text, or a line is empty, repeated or not a valid class name (see
            `labels.is_valid_class_name`).
    """
    names: dict[str, None] = {}
    for number, line in enumerate(read_text(path, "file of class names").rstrip().split("\n"), start=1):
        name = line.strip()
        if not is_valid_class_name(name, names):
            raise InputError(f"{path}:{number}: the class is {shorten(name)}, expected one name per line, each once")
        names[name] = None
    return tuple(names)


def check_classes(list_file: str | os.PathLike[str], classes: Sequence[str]) -> None:
    """Check the classes of a list against the `classes.txt` in the same folder, if there is one.

    A file with another number of classes is ignored, because it must belong to other lists.

    Args:
        list_file: path of the list.
        classes: names of its label columns.

    Raises:
        InputError: the file has the same number of classes, but other names or another order.
    """
    path = Path(list_file).parent / CLASSES_FILE
    if not path.exists():
        return
    found = read_classes(path)
    if len(found) == len(classes) and found != tuple(classes):
        column = next(column for column, pair in enumerate(zip(found, classes, strict=True)) if pair[0] != pair[1])
        raise InputError(
            f"{list_file}: label {column + 1} is {shorten(found[column])} according to {path}, expected "
            f"{shorten(classes[column])}; use --classes_file {path} and a checkpoint with these classes, or remove "
            f"{CLASSES_FILE} if it belongs to other lists"
        )


def format_classes(names: Sequence[str]) -> str:
    """Format a class file, one name per line."""
    return "".join(f"{name}\n" for name in names)
