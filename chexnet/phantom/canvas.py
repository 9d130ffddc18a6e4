"""The pixel grid of a phantom, and the shapes that are drawn on it.

All coordinates are in centimeters in the patient's frame: x to the right of the image (the patient's left), y
downwards, the origin near the middle of the chest. A thickness is a path length along the X-ray in centimeters of
water. Images of 128 and of 1024 pixels therefore show the same chest.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

FIELD_CM = 38.0
"""Side of the square image field, in centimeters."""

Array = NDArray[Any]
"""float32 array; NumPy's type stubs lose the width in arithmetic with Python numbers."""
Point = tuple[float, float]
Tube = tuple[list[Point], list[float]]
_FINE = 512


@dataclass(frozen=True)
class Pose:
    """Pose of a patient in front of the detector: shifts in cm, scale as a factor, lean as dx/dy."""

    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    lean: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Pose":
        """Return a random pose of one exposure."""
        return cls(*(float(v) for v in rng.uniform((-0.9, -0.8, 0.96, -0.04), (0.9, 0.8, 1.04, 0.04))))


class Canvas:
    """Pixel centers of a `size` x `size` image in the patient's frame.

    Attributes:
        x: float32 [S, S], cm. It also depends on the row, because the patient leans.
        y: float32 [S, 1], cm. A lean moves rows sideways only, so that fluid levels stay horizontal.
        pixel: side of a pixel in cm, in the patient's frame.
    """

    def __init__(self, size: int, pose: Pose) -> None:
        """Compute the grid for `size` pixels per side."""
        self.size = size
        self.pose = pose
        self.pixel = FIELD_CM / size / pose.scale
        centres = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * FIELD_CM
        self.y: Array = ((centres - pose.dy) / pose.scale)[:, None].astype(np.float32)
        self.x: Array = (((centres - pose.dx) / pose.scale)[None, :] - pose.lean * self.y).astype(np.float32)

    def column(self, x: float, y: float) -> float:
        """Return the horizontal pixel coordinate (pixel 0 covers 0 to 1) of a point in cm."""
        return (((x + self.pose.lean * y) * self.pose.scale + self.pose.dx) / FIELD_CM + 0.5) * self.size

    def row(self, y: float) -> float:
        """Return the vertical pixel coordinate of a height in cm."""
        return ((y * self.pose.scale + self.pose.dy) / FIELD_CM + 0.5) * self.size

    def blank(self) -> Array:
        """Return zeros, float32 [S, S]."""
        return np.zeros((self.size, self.size), np.float32)

    def inside(self, distance: Array, width: float = 0.0) -> Array:
        """Return 1 inside and 0 outside for a signed distance in cm; the edge is `width` cm wide, at least a pixel."""
        return np.clip(distance / max(width, self.pixel) + 0.5, 0.0, 1.0)

    def blob(self, x: float, y: float, rx: float, ry: float) -> Array:
        """Return a Gaussian of height 1 with standard deviations `rx`, `ry` in cm, float32 [S, S]."""
        squared = ((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2
        # Denormal numbers far from the center would make arithmetic many times slower.
        blob: Array = np.exp(-0.5 * np.minimum(squared, 80.0))
        return blob

    def texture(self, rng: np.random.Generator, grain: float) -> Array:
        """Return a smooth random field with a standard deviation of about 1, float32 [S, S].

        It is sampled on a coarse grid of `grain` cm and enlarged, so that it does not depend on the image size.
        """
        cells = max(2, round(FIELD_CM / grain))
        coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
        # Bicubic enlargement averages neighbors, which reduces the standard deviation by about a quarter.
        return 1.3 * np.asarray(coarse.resize((self.size, self.size), Image.Resampling.BICUBIC))

    def tubes(self, tubes: Iterable[Tube]) -> Array:
        """Return the path through a set of tubes in cm, float32 [S, S]; where they cross, the thicker one counts.

        The tubes are drawn on a fine grid and resized, so that they have the same mass at every image size.

        Args:
            tubes: center lines as points in cm, and the radius of each piece in cm (at most 1).
        """
        fine = Image.new("L", (_FINE, _FINE))
        pen = ImageDraw.Draw(fine)
        cm = _FINE / self.size / self.pixel
        pieces = [
            (radius, self._fine(start), self._fine(end))
            for points, radii in tubes
            for start, end, radius in zip(points[:-1], points[1:], radii, strict=True)
        ]
        # Thin pieces first, because the pen overwrites pixels.
        for radius, start, end in sorted(pieces):
            # The mean chord of a circle is pi / 4 of its diameter; gray is in units of 1 / 128 cm.
            gray, width = round(128 * 2 * radius * 0.785), max(1, round(2 * radius * cm))
            pen.line((start, end), fill=gray, width=width)
            for x, y in (start, end):
                pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=gray)
        average = Image.Resampling.BOX if self.size < _FINE else Image.Resampling.BILINEAR
        return np.asarray(fine.resize((self.size, self.size), average), np.float32) / np.float32(128.0)

    def _fine(self, point: Point) -> Point:
        x, y = point
        scale = _FINE / self.size
        return self.column(x, y) * scale, self.row(y) * scale


def smoothstep(value: Array, low: float, high: float) -> Array:
    """Return 0 below `low`, 1 above `high`, and a cubic between them."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    step: Array = t * t * (3.0 - 2.0 * t)
    return step


def develop(path: Array, midpoint: float, latitude: float) -> Array:
    """Return the gray values of a radiograph, float32 from 0 to 255, for path lengths in cm of water.

    The exposure behind a path L is exp(-mu L), and the density of a film is a sigmoid of the logarithm of the exposure
    (Hurter and Driffield). The gray value is therefore a logistic function of L.

    Args:
        path: path lengths, float32 [S, S].
        midpoint: path in cm that becomes middle gray.
        latitude: scale of the logistic function in cm; a small one gives a high contrast.
    """
    gray: Array = 250.0 / (1.0 + np.exp((midpoint - path) / latitude))
    return gray
