"""The grid a phantom is drawn on, and the few strokes that it is drawn with.

Everything is placed in centimetres in the patient's own frame: x to the right of the image (the
patient's left), y downwards, the origin near the middle of the chest. A thickness is a path length
along the X-ray in centimetres of water. So a picture of 128 pixels and one of 1024 show the same chest.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

FIELD_CM = 38.0
"""Side of the square image field, in centimetres."""

Array = NDArray[Any]
"""float32 throughout; NumPy's type stubs lose the width in arithmetic with Python numbers."""
Point = tuple[float, float]
Tube = tuple[list[Point], list[float]]
_FINE = 512


@dataclass(frozen=True)
class Pose:
    """How a patient stands before the detector: shifts in cm, scale as a factor, lean as dx/dy."""

    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    lean: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Pose":
        """A pose as it varies from one exposure to the next."""
        return cls(*(float(v) for v in rng.uniform((-0.9, -0.8, 0.96, -0.04), (0.9, 0.8, 1.04, 0.04))))


class Canvas:
    """The pixel centres of a `size` x `size` image in the patient's frame.

    Attributes:
        x: float32 [S, S], cm. It depends on the row too, because a patient leans.
        y: float32 [S, 1], cm. A lean moves rows sideways only, so fluid levels stay horizontal, as
            gravity wants.
        pixel: side of a pixel in cm of the patient.
    """

    def __init__(self, size: int, pose: Pose) -> None:
        """Lays the grid for `size` pixels a side."""
        self.size = size
        self.pose = pose
        self.pixel = FIELD_CM / size / pose.scale
        centres = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * FIELD_CM
        self.y: Array = ((centres - pose.dy) / pose.scale)[:, None].astype(np.float32)
        self.x: Array = (((centres - pose.dx) / pose.scale)[None, :] - pose.lean * self.y).astype(np.float32)

    def column(self, x: float, y: float) -> float:
        """The horizontal pixel coordinate (pixel 0 covers 0 to 1) of a point in cm."""
        return (((x + self.pose.lean * y) * self.pose.scale + self.pose.dx) / FIELD_CM + 0.5) * self.size

    def row(self, y: float) -> float:
        """The vertical pixel coordinate of a height in cm."""
        return ((y * self.pose.scale + self.pose.dy) / FIELD_CM + 0.5) * self.size

    def blank(self) -> Array:
        """Zeros, float32 [S, S]."""
        return np.zeros((self.size, self.size), np.float32)

    def inside(self, distance: Array, width: float = 0.0) -> Array:
        """1 inside, 0 outside, for a signed distance in cm; the edge is `width` cm wide, at least a pixel."""
        return np.clip(distance / max(width, self.pixel) + 0.5, 0.0, 1.0)

    def blob(self, x: float, y: float, rx: float, ry: float) -> Array:
        """A Gaussian hill of height 1 and standard deviations `rx`, `ry` in cm."""
        squared = ((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2
        # Arithmetic with the denormal numbers of a far tail is many times slower.
        hill: Array = np.exp(-0.5 * np.minimum(squared, 80.0))
        return hill

    def texture(self, rng: np.random.Generator, grain: float) -> Array:
        """A smooth random field of standard deviation about 1, float32 [S, S].

        It is drawn on a coarse grid of `grain` cm and enlarged, so that it does not depend on the size.
        """
        cells = max(2, round(FIELD_CM / grain))
        coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
        # Bicubic enlargement averages neighbours, which takes about a quarter of the standard deviation.
        return 1.3 * np.asarray(coarse.resize((self.size, self.size), Image.Resampling.BICUBIC))

    def tubes(self, tubes: Iterable[Tube]) -> Array:
        """The path through a set of tubes in cm, float32 [S, S]; where they cross, the thicker one counts.

        They are drawn on one fine grid and resized, so that they weigh the same at every size.

        Args:
            tubes: each a centre line of points in cm and a radius in cm (at most 1) for each piece of it.
        """
        fine = Image.new("L", (_FINE, _FINE))
        pen = ImageDraw.Draw(fine)
        cm = _FINE / self.size / self.pixel
        pieces = [
            (radius, self._fine(start), self._fine(end))
            for points, radii in tubes
            for start, end, radius in zip(points[:-1], points[1:], radii, strict=True)
        ]
        # Thin ones first: the pen replaces what is there.
        for radius, start, end in sorted(pieces):
            # A chord of a circle is on average pi / 4 of its diameter; gray is in 1 / 128 cm.
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
    """0 below `low`, 1 above `high`, a cubic between them."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    step: Array = t * t * (3.0 - 2.0 * t)
    return step


def develop(path: Array, midpoint: float, latitude: float) -> Array:
    """Gray values 0 to 255 (float32) of a radiograph from the path lengths in cm of water.

    The exposure behind a path L is exp(-mu L), and a film's density is a sigmoid of the logarithm of
    the exposure (Hurter and Driffield), so the gray value is a logistic function of L itself.

    Args:
        path: float32 [S, S].
        midpoint: the path in cm that becomes middle gray.
        latitude: how many cm of path a factor e of the logistic spans; small is high contrast.
    """
    gray: Array = 250.0 / (1.0 + np.exp((midpoint - path) / latitude))
    return gray
