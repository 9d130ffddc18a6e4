"""Boxes around findings: ground truth from a file, predictions from class maps, and their overlap.

A box is float64 x, y, w, h: left, top, width and height in pixels of the original image. The upper left corner of the
image is (0, 0), and the first pixel spans 0 to 1.
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
from chexnet.files.text_files import read_text, shorten, shorten_all
from chexnet.labels import BOX_FILE_SPELLINGS, CLASS_NAMES

BOX_THRESHOLD = 0.5
"""Threshold of a predicted box, as a fraction of the map's maximum (full width at half maximum)."""

BOX_SPACE = 1024
"""Width and height of the coordinate system of NIH's boxes, for image files of any size."""

_HEADER = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]
_PLATEAU = 1e-5
"""Pixels are equally high within this fraction of the map's range."""


@dataclass(frozen=True)
class GroundTruthBox:
    """A ground-truth box, one line of a box file.

    Attributes:
        image: file name.
        finding: one of CLASS_NAMES, or another class of the caller.
        xywh: the box in pixels of a BOX_SPACE x BOX_SPACE image.
        line: line number in the file, starting at 1.
    """

    image: str
    finding: str
    xywh: tuple[float, float, float, float]
    line: int

    @property
    def is_valid(self) -> bool:
        """True if the box has an area and lies inside the image."""
        x, y, w, h = self.xywh
        return min(x, y) >= 0 and min(w, h) > 0 and max(x + w, y + h) <= BOX_SPACE

    def to_pixels(self, height: int, width: int) -> np.ndarray:
        """Scale the box to an image of `height` x `width` pixels, float64 [4]."""
        return np.array(self.xywh) * (width, height, width, height) / BOX_SPACE


def read_boxes(path: str | os.PathLike[str], classes: Sequence[str] = CLASS_NAMES) -> tuple[GroundTruthBox, ...]:
    """Read a box file in NIH's format (`BBox_List_2017.csv`, plain or .csv.gz), in file order.

    Args:
        path: the file.
        classes: findings that the file may have, in addition to CLASS_NAMES in NIH's spelling.

    Raises:
        InputError: the file is missing, not a text file or without boxes; its header differs; or a line has the wrong
            number of columns, a path instead of a file name, an unknown finding, or a box that is not four numbers.
            Boxes outside the image are not an error, see `GroundTruthBox.is_valid`.
    """
    path = Path(path)
    rows = _read_rows(path)
    if not rows or [column.strip() for column in rows[0][: len(_HEADER)]] != _HEADER:
        header = ",".join(rows[0])[:60] if rows else ""
        raise InputError(f"{path}:1: the header is {header!r}, expected {','.join(_HEADER)!r} as in BBox_List_2017.csv")
    named = {name: name for name in (*CLASS_NAMES, *classes)} | {nih: name for name, nih in BOX_FILE_SPELLINGS.items()}
    numbered = enumerate(rows[1:], start=2)
    boxes = tuple(_parse(row, f"{path}:{number}", number, named) for number, row in numbered if any(row))
    if not boxes:
        raise InputError(f"{path}: no boxes, expected one per line")
    return boxes


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of all pairs: `a` [K, 4], `b` [L, 4] -> [K, L] in 0..1."""
    common = _intersection(a, b)
    return common / (_area(a)[:, None] + _area(b)[None] - common)


def iobb(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute the intersection over the predicted box's area: `predicted` [K, 4], `truth` [L, 4] -> [K, L] in 0..1.

    Wang et al., ChestX-ray8, CVPR 2017, section 4. A tiny box inside the ground truth has the maximum value, 1.
    """
    return _intersection(predicted, truth) / _area(predicted)[:, None]


def contains(boxes: np.ndarray, point: tuple[float, float]) -> np.ndarray:
    """Check which of the boxes [K, 4] contain the point (x, y), edges included: bool [K]."""
    corner, size = boxes[:, :2], boxes[:, 2:]
    return ((corner <= point) & (point <= corner + size)).all(axis=1)


def peak_location(values: np.ndarray) -> tuple[float, float]:
    """Return the center (x, y) of the highest pixel of a map [H, W], ignoring NaN.

    Beyond the centers of its border cells, an upsampled map is constant. Of equally high pixels, this function
    therefore returns the one nearest to the center of the map.
    """
    top = np.nanmax(values)
    rows, columns = np.nonzero(values >= top - _PLATEAU * (top - np.nanmin(values)))
    height, width = values.shape
    nearest = np.argmin((rows + 0.5 - height / 2) ** 2 + (columns + 0.5 - width / 2) ** 2)
    return float(columns[nearest]) + 0.5, float(rows[nearest]) + 0.5


def peak_component(values: np.ndarray) -> np.ndarray:
    """Return the connected component around the maximum of a map [H, W] as a mask, bool [H, W].

    It consists of pixels of at least BOX_THRESHOLD times the maximum, connected by their sides, not by corners. It
    contains no NaN, and is empty if the maximum is not above 0.
    """
    highest = np.unravel_index(np.nanargmax(values), values.shape)
    components, _ = ndimage.label(values >= BOX_THRESHOLD * values[highest])
    return (components == components[highest]) & (values[highest] > 0)


def predicted_box(values: np.ndarray) -> np.ndarray | None:
    """Return the bounding box of `peak_component`, float64 [4]; None if no pixel of the map is above 0."""
    objects = ndimage.find_objects(peak_component(values).astype(np.uint8))
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


def _parse(row: list[str], where: str, line: int, named: Mapping[str, str]) -> GroundTruthBox:
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
    return GroundTruthBox(image, named[label], (x, y, w, h), line)


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    return np.maximum(high - low, 0).prod(axis=-1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, 2] * boxes[:, 3]
