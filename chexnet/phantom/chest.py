"""Layers of one exposure. Findings change them before they are summed and developed."""

import numpy as np

from chexnet.phantom.anatomy import Anatomy, body_thickness, diaphragm, heart_thickness, lung_air, vessel_tree
from chexnet.phantom.canvas import Array, Canvas, develop
from chexnet.phantom.skeleton import bones


class Chest:
    """Layers that the rays of one exposure pass through, float32 [S, S], in cm of water.

    Attributes:
        canvas: pixel grid.
        anatomy: dimensions of the chest, including the changes of the findings.
        dome: height of the diaphragm in the column of each pixel (a y, not a layer).
        heart: path through the heart.
        air: depth of lung along each ray.
        density: tissue fraction of that lung, 0 to 1.
        vessels: blood in the vessels and hila.
        opacity: tissue and fluid in the air spaces; `path` limits it to the available air.
        extra: structures outside the lung: a hernia, thick pleura, lead.
    """

    def __init__(self, canvas: Canvas, anatomy: Anatomy) -> None:
        """Compute the layers of the anatomy, before any finding is painted."""
        self.canvas = canvas
        self.anatomy = anatomy
        self.dome = diaphragm(canvas, anatomy)
        self.heart = heart_thickness(canvas, anatomy)
        self.air = lung_air(canvas, anatomy, self.dome, self.heart)
        self.density = np.full_like(self.air, anatomy.density)
        self.vessels = _vessels(canvas, anatomy)
        self.opacity = canvas.blank()
        self.extra = canvas.blank()

    def aerated(self) -> Array:
        """Return a mask (0 to 1) of lung that is deep enough to show findings, without the strip behind the liver."""
        share: Array = np.clip(self.air / 3.5, 0.0, 1.0) * self.canvas.inside(self.dome - self.canvas.y)
        return share

    def free_air(self) -> Array:
        """Return the air along each ray in cm: the maximum that an opacity can replace."""
        return self.air * (1.0 - self.density)

    def side(self, side: int) -> Array:
        """Return a mask of one side of the patient, 1 in that half of the image and else 0."""
        return (self.canvas.x * side > 0).astype(np.float32)

    def fill(self, strength: Array) -> None:
        """Replace at least the fraction `strength` (0 to 1) of the air with fluid."""
        np.maximum(self.opacity, strength * self.free_air(), out=self.opacity)

    def path(self) -> Array:
        """Return the sum of all layers along each ray, in cm of water."""
        canvas, a = self.canvas, self.anatomy
        body = body_thickness(canvas, a)
        free = self.free_air()
        filled = np.minimum(self.opacity + self.vessels * np.clip(self.air / 2.5, 0.0, 1.0), 0.97 * free)
        heart = 0.18 * self.heart
        path: Array = body - free + filled + heart + bones(canvas, a) * (body > 0) - _stomach(canvas, a)
        path += self.extra
        _mark_left(canvas, path)
        return np.maximum(path, 0.0)


def _vessels(canvas: Canvas, a: Anatomy) -> Array:
    """Return the pulmonary vessels and the hila."""
    vessels = 2.2 * canvas.tubes(vessel_tree(a))
    for x, y in ((-4.0, 0.2), (4.5, -0.9)):
        vessels += 1.5 * canvas.blob(x, y, 1.0, 1.7)
    return vessels


def _stomach(canvas: Canvas, a: Anatomy) -> Array:
    """Return the air in the stomach, under the left dome."""
    if a.stomach == 0.0:
        return canvas.blank()
    r = ((canvas.x - 6.3) / 2.9) ** 2 + ((canvas.y - a.dome_left - 2.4) / 1.4) ** 2
    return a.stomach * np.sqrt(np.clip(1.0 - r, 0.0, None))


def _mark_left(canvas: Canvas, path: Array) -> None:
    """Add the lead letter L to the upper corner on the patient's left."""
    for left, top, right, bottom in ((15.4, -17.2, 15.75, -15.2), (15.4, -15.55, 16.8, -15.2)):
        columns = slice(round(canvas.column(left, top)), round(canvas.column(right, top)))
        path[round(canvas.row(top)) : round(canvas.row(bottom)), columns] = 30.0


def expose(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Return the developed film, uint8 [S, S], 0 is black.

    The exposure, the latitude of the film, the lung texture and the quantum noise vary with `rng`.
    """
    canvas = chest.canvas
    midpoint, latitude = (float(v) for v in rng.uniform((10.6, 3.0), (12.4, 3.7)))
    path = chest.path()
    path += 0.14 * canvas.texture(rng, 0.6) * chest.aerated()
    # Fewer quanta reach a smaller pixel: the noise is inversely proportional to its side.
    noise = rng.random(path.shape, np.float32) + rng.random(path.shape, np.float32) - 1.0
    path += (0.009 / canvas.pixel) * noise * np.sqrt(np.maximum(path, 1.0))
    gray = develop(path, midpoint, latitude)
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)
