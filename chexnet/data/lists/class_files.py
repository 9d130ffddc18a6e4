"""The names of classes other than the 14, one a line, beside the lists that have them."""

import os
from collections.abc import Sequence
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files.text_files import read_text, shorten
from chexnet.labels import CLASS_NAMES, is_valid_class_name

CLASSES_FILE = "classes.txt"


def class_names(path: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """The names of a file as `read_classes` gives them; without one, the 14."""
    return read_classes(path) if path else CLASS_NAMES


def read_classes(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of a file, which are the classes of a list's columns in this order.

    Raises:
        InputError: the file is missing, empty or not text, or the first line that is empty, was there before or
            stands for the mean (`labels.MEAN_NAME`).
    """
    names: dict[str, None] = {}
    for number, line in enumerate(read_text(path, "file of class names").rstrip().split("\n"), start=1):
        name = line.strip()
        if not is_valid_class_name(name, names):
            raise InputError(f"{path}:{number}: the class is {shorten(name)}, expected one name a line, each once")
        names[name] = None
    return tuple(names)


def check_classes(list_file: str | os.PathLike[str], classes: Sequence[str]) -> None:
    """Check that a list is not taken for one of other classes: that `classes.txt` beside it has these, if it is its.

    A file there of another number of classes belongs to other lists.

    Args:
        list_file: a list with labels of `classes`.
        classes: names of the labels' columns.

    Raises:
        InputError: it has as many classes, but others, or in another order.
    """
    path = Path(list_file).parent / CLASSES_FILE
    if not path.exists():
        return
    beside = read_classes(path)
    if len(beside) == len(classes) and beside != tuple(classes):
        place = next(place for place, pair in enumerate(zip(beside, classes, strict=True)) if pair[0] != pair[1])
        raise InputError(
            f"{list_file}: its label {place + 1} is {shorten(beside[place])} by {path}, expected "
            f"{shorten(classes[place])}; give its classes (--classes_file {path}) and a checkpoint with these, "
            f"or remove {CLASSES_FILE} if it is of other lists"
        )


def format_classes(names: Sequence[str]) -> str:
    """The text of such a file."""
    return "".join(f"{name}\n" for name in names)
