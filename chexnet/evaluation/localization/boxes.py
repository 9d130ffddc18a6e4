"""Boxes and polygons around findings, boxes predicted from class maps, and their overlap.

A box is float64 x, y, w, h: left, top, width and height in pixels of the original image. The upper left corner of the
image is (0, 0), and the first pixel spans 0 to 1.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from chexnet.data.lists.json_annotations import Polygon

BOX_THRESHOLD = 0.5
"""Threshold of a predicted box, as a fraction of the map's maximum (full width at half maximum)."""

BOX_SPACE = 1024
"""Width and height of the coordinate system of NIH's boxes, for image files of any size."""

Box = tuple[float, float, float, float]

_PLATEAU = 1e-5
"""Pixels are equally high within this fraction of the map's range."""


@dataclass(frozen=True)
class GroundTruthBox:
    """A ground-truth box, one line of a box file or one finding of an annotation.

    Attributes:
        image: file name, or the name without its suffix.
        finding: a class of the network, or a finding that it has no class for.
        xywh: the box.
        where: position in the file, for messages: `file:line` or `file: entry N`.
        space: width and height of the coordinate system of the box; None for the pixels of the image file.
        polygon: outline of the finding in the same coordinates, (x, y) of each point; empty if there is none.
    """

    image: str
    finding: str
    xywh: Box
    where: str
    space: tuple[float, float] | None = (BOX_SPACE, BOX_SPACE)
    polygon: Polygon = ()

    def fault(self, width: float, height: float) -> str:
        """Return the fault of a box or polygon in an image of `width` x `height` as a message; empty if it is inside.

        Both must have an area and lie inside the coordinate system, which is that of the image if `space` is None.
        """
        right, bottom = self.space or (width, height)
        expected = f"expected it within 0..{right:g} and 0..{bottom:g}"
        x, y, w, h = self.xywh
        if not (min(x, y) >= 0 and min(w, h) > 0 and x + w <= right and y + h <= bottom):
            xywh = ",".join(f"{value:g}" for value in self.xywh)
            return f"{self.where}: {self.image}: the box {xywh} is not inside the image, {expected}"
        for x, y in self.polygon:
            if not (0 <= x <= right and 0 <= y <= bottom):
                return f"{self.where}: {self.image}: the polygon point {x:g},{y:g} is not inside the image, {expected}"
        return ""

    def to_pixels(self, height: int, width: int) -> np.ndarray:
        """Scale the box to an image of `height` x `width` pixels, float64 [4]."""
        right, bottom = self.space or (width, height)
        return np.array(self.xywh) * (width, height, width, height) / (right, bottom, right, bottom)

    def polygon_pixels(self, height: int, width: int) -> np.ndarray:
        """Scale the polygon to an image of `height` x `width` pixels, float64 [points, 2]."""
        return np.array(self.polygon).reshape(-1, 2) * (width, height) / (self.space or (width, height))


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


def polygon_mask(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Rasterize a polygon [points, 2] (x, y) in pixels: bool [height, width].

    A pixel is set if its center is inside by the even-odd rule: if an odd number of edges lies left of it. So the
    parity of the edges at each pixel is the cumulative sum along its row.
    """
    crossings = np.zeros((height, width + 1), np.int64)
    centers = np.arange(height) + 0.5
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        rows = np.flatnonzero((centers >= min(y1, y2)) & (centers < max(y1, y2)))
        x = x1 + (centers[rows] - y1) * (x2 - x1) / (y2 - y1) if len(rows) else np.empty(0)
        crossings[rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)] += 1
    return np.cumsum(crossings, axis=1)[:, :width] % 2 == 1


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    return np.maximum(high - low, 0).prod(axis=-1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, 2] * boxes[:, 3]
