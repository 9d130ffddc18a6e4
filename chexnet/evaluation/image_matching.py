"""Match the images of two files whose names may differ in folders and suffixes."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chexnet.data.lists import image_id
from chexnet.errors import InputError
from chexnet.files.text_files import shorten

_SUFFIX = re.compile(r"\.[A-Za-z]\w{0,4}(?:\.gz)?$", re.ASCII)
"""Suffix of a file; numbers behind a dot belong to the name, as in DICOM's identifiers."""


@dataclass(frozen=True)
class ImageMatch:
    """Rows of the wanted images in another file.

    Attributes:
        rows: int64 [N], -1 for a missing image.
        missing: names of the missing images.
        respelled: number of images whose names differ in folders or suffix.
    """

    rows: np.ndarray
    missing: tuple[str, ...]
    respelled: int


def match_images(names: Sequence[str], origin: str, wanted: Sequence[str], wanted_origin: str) -> ImageMatch:
    """Find images in another file.

    Equal names match first. Other names match if they differ only in suffix and folders: one path is the end of the
    other (`train/patient00001/view1.jpg` and `patient00001/view1`), or both have NIH's number.

    Args:
        names: image names in the other file, each once.
        origin: path of that file, for messages.
        wanted: N image names, each once.
        wanted_origin: file of the wanted images, for messages.

    Raises:
        InputError: an image matches two images of the other file, or two images match the same one.
    """
    row_by_name = {name: row for row, name in enumerate(names)}
    rows = np.array([row_by_name.get(name, -1) for name in wanted], np.int64)
    absent = np.flatnonzero(rows < 0).tolist()
    if absent:
        rows_by_stem = defaultdict(list)
        for row, name in enumerate(names):
            rows_by_stem[_parts(name)[-1]].append(row)
        owner = {row: name for row, name in zip(rows.tolist(), wanted, strict=True) if row >= 0}
        for index in absent:
            name = wanted[index]
            found = [row for row in rows_by_stem.get(_parts(name)[-1], ()) if _same_image(names[row], name)]
            if len(found) > 1:
                raise InputError(
                    f"{wanted_origin}: {shorten(name)} matches {shorten(names[found[0]])} and "
                    f"{shorten(names[found[1]])} in {origin}, expected one; write the names with their folders"
                )
            if found:
                rows[index] = found[0]
                if owner.setdefault(found[0], name) != name:
                    raise InputError(
                        f"{wanted_origin}: {shorten(owner[found[0]])} and {shorten(name)} match the same image "
                        f"{shorten(names[found[0]])} in {origin}, expected one each"
                    )
    missing = tuple(wanted[index] for index in absent if rows[index] < 0)
    return ImageMatch(rows, missing, len(absent) - len(missing))


def _parts(name: str) -> list[str]:
    """Return the folders of an image and its name without suffix."""
    return _SUFFIX.sub("", name).split("/")


def _same_image(first: str, second: str) -> bool:
    short, long = sorted((_parts(first), _parts(second)), key=len)
    return long[len(long) - len(short) :] == short or (image_id(first) == image_id(second))
