"""Boxes around findings: those that radiologists drew, those found in a class map, and how well they agree.

A box is x, y, w, h in float64: left, top, width and height in pixels of the original image, whose upper left
corner is (0, 0) and whose first pixel reaches from 0 to 1.
"""

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from chexnet.errors import InputError
from chexnet.labels import BOX_FILE_SPELLINGS, CLASS_NAMES
from chexnet.text_files import read_text, shorten, shorten_all

FOUND_FRACTION = 0.5
"""Of a map's maximum: what lies above belongs to the found box (full width at half maximum)."""

BOX_SPACE = 1024
"""NIH's boxes count pixels of images of this width and height, whatever size an image file has."""

_HEADER = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]
_PLATEAU = 1e-5


@dataclass(frozen=True)
class DrawnBox:
    """One line of a box file.

    Attributes:
        image: file name.
        finding: one of CLASS_NAMES, or another class that was asked for.
        xywh: in BOX_SPACE.
        line: in the file, from 1.
    """

    image: str
    finding: str
    xywh: tuple[float, float, float, float]
    line: int

    @property
    def inside(self) -> bool:
        """Whether it is a box at all and lies in the image."""
        x, y, w, h = self.xywh
        return min(x, y) >= 0 and min(w, h) > 0 and max(x + w, y + h) <= BOX_SPACE

    def in_pixels(self, height: int, width: int) -> np.ndarray:
        """The box in an image of `height` x `width` pixels, float64 [4]."""
        return np.array(self.xywh) * (width, height, width, height) / BOX_SPACE


def read_boxes(path: str | os.PathLike[str], classes: Sequence[str] = CLASS_NAMES) -> tuple[DrawnBox, ...]:
    """Reads a box file in NIH's format (`BBox_List_2017.csv`, as it is or as .csv.gz), in its order.

    Args:
        path: the file.
        classes: findings that it may hold, besides CLASS_NAMES as NIH spells them.

    Raises:
        InputError: the file is missing, no text or without boxes, its header is another one, or the first line
            with something wrong: number of columns, a name with a folder in it, an unknown finding, a box that
            is not four numbers. Boxes outside the image are read, see `DrawnBox.inside`.
    """
    path = Path(path)
    rows = _read_rows(path)
    if not rows or [column.strip() for column in rows[0][: len(_HEADER)]] != _HEADER:
        found = ",".join(rows[0])[:60] if rows else ""
        raise InputError(f"{path}:1: the header is {found!r}, expected {','.join(_HEADER)!r} as in BBox_List_2017.csv")
    named = {name: name for name in (*CLASS_NAMES, *classes)} | {nih: name for name, nih in BOX_FILE_SPELLINGS.items()}
    numbered = enumerate(rows[1:], start=2)
    boxes = tuple(_parse(row, f"{path}:{number}", number, named) for number, row in numbered if any(row))
    if not boxes:
        raise InputError(f"{path}: no boxes, expected one a line")
    return boxes


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of `a` [K, 4] with every one of `b` [L, 4]: [K, L] in 0..1."""
    common = _intersection(a, b)
    return common / (_area(a)[:, None] + _area(b)[None] - common)


def iobb(found: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Intersection over the found box's area: `found` [K, 4] with `drawn` [L, 4] -> [K, L] in 0..1.

    Wang et al., ChestX-ray8, CVPR 2017, section 4. A tiny box inside the drawn one has the best value, 1.
    """
    return _intersection(found, drawn) / _area(found)[:, None]


def holds(boxes: np.ndarray, point: tuple[float, float]) -> np.ndarray:
    """Which of the boxes [K, 4] hold the point (x, y), edges included: bool [K]."""
    corner, size = boxes[:, :2], boxes[:, 2:]
    return ((corner <= point) & (point <= corner + size)).all(axis=1)


def peak(values: np.ndarray) -> tuple[float, float]:
    """Where a map [H, W] is highest: (x, y), the centre of that pixel. NaN is left out.

    From the centre of its outermost places on a map is flat. Of pixels that share the maximum, up to 1e-5 of the
    map's range, it is therefore the one nearest to the middle of the map.
    """
    top = np.nanmax(values)
    rows, columns = np.nonzero(values >= top - _PLATEAU * (top - np.nanmin(values)))
    height, width = values.shape
    nearest = np.argmin((rows + 0.5 - height / 2) ** 2 + (columns + 0.5 - width / 2) ** 2)
    return float(columns[nearest]) + 0.5, float(rows[nearest]) + 0.5


def region(values: np.ndarray) -> np.ndarray:
    """The part of a map [H, W] around its maximum that the found box encloses: bool [H, W].

    The pixels of at least FOUND_FRACTION of the maximum that are connected with a highest one, side by side; none
    of them where the maximum is not above 0. NaN is not in it.
    """
    highest = np.unravel_index(np.nanargmax(values), values.shape)
    components, _ = ndimage.label(values >= FOUND_FRACTION * values[highest])  # by their sides, not by their corners
    return (components == components[highest]) & (values[highest] > 0)


def found_box(values: np.ndarray) -> np.ndarray | None:
    """The box around `region`, float64 [4]; None where the map is nowhere above 0."""
    objects = ndimage.find_objects(region(values).astype(np.uint8))
    if not objects:
        return None
    rows, columns = objects[0]
    x, y = columns.start, rows.start
    return np.array([x, y, columns.stop - x, rows.stop - y], dtype=np.float64)


def _read_rows(path: Path) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(read_text(path, "box file"))))
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV file ({error}), expected a box file like BBox_List_2017.csv") from error


def _parse(row: list[str], where: str, line: int, named: Mapping[str, str]) -> DrawnBox:
    if len(row) < 6 or any(row[6:]):
        raise InputError(f"{where}: {len(row)} columns, expected an image, a finding, x, y, w and h")
    image, label = row[0].strip(), row[1].strip()
    if not image or image in (".", "..") or "/" in image or "\\" in image:
        raise InputError(f"{where}: {shorten(image)} is not the name of a file in the image folder")
    if label not in named:
        raise InputError(f"{where}: finding {shorten(label)}, expected one of {shorten_all(list(named), limit=50)}")
    try:
        x, y, w, h = map(float, row[2:6])
    except ValueError:
        x = y = w = h = math.nan
    if not all(map(math.isfinite, (x, y, w, h))):
        raise InputError(f"{where}: the box is {','.join(row[2:6])!r}, expected four numbers: x, y, w, h")
    return DrawnBox(image, named[label], (x, y, w, h), line)


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    return np.maximum(high - low, 0).prod(axis=-1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, 2] * boxes[:, 3]
