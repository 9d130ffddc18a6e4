"""The names of classes other than the 14, one a line, beside the lists that have them."""

import os
from collections.abc import Sequence

from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES, is_name
from chexnet.lists.text_files import read_text

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
    names: list[str] = []
    for number, line in enumerate(read_text(path, "file of class names").rstrip().split("\n"), start=1):
        name = line.strip()
        if not is_name(name, names):
            raise InputError(f"{path}:{number}: the class is {name!r}, expected one name a line, each once")
        names.append(name)
    return tuple(names)


def format_classes(names: Sequence[str]) -> str:
    """The text of such a file."""
    return "".join(f"{name}\n" for name in names)
