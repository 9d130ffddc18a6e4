"""Names of the files that are written for each image."""

import os
import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path

_UNSAFE = re.compile(r"[^\w .()+-]")
"""Characters of class names that some file systems do not allow in file names."""

_MAX_PART_BYTES = 90
"""Maximum length of the image part and of the finding part of a file name. Some file systems allow 143 bytes in all."""


class ImageNames:
    """Prefixes for the files of images: `<image>`, or `<image>_2` if that name is taken. Long names are shortened."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, image: str) -> str:
        """Return a new prefix for the files of an image."""
        stem = _shortened(Path(image).stem)
        names = (stem if number == 1 else f"{stem}_{number}" for number in count(1))
        name = next(name for name in names if name.lower() not in self._taken)  # some file systems ignore case
        self._taken.add(name.lower())
        return name


def file_part(finding: str, classes: Sequence[str]) -> str:
    """Return a part of a file name that is unique to this class."""
    parts = [_shortened(_UNSAFE.sub("_", name)) for name in classes]
    index = classes.index(finding)
    ambiguous = [part.lower() for part in parts].count(parts[index].lower()) > 1  # some file systems ignore case
    return f"{parts[index]}_{index + 1}" if ambiguous else parts[index]


def _shortened(name: str) -> str:
    while len(os.fsencode(name)) > _MAX_PART_BYTES:
        name = name[:-1]
    return name
