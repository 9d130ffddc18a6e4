"""The layers of one exposure, which findings change before they are added up and developed."""

import numpy as np

from chexnet.phantom.anatomy import Anatomy, body_thickness, diaphragm, heart_thickness, lung_air, vessel_tree
from chexnet.phantom.canvas import Array, Canvas, develop
from chexnet.phantom.skeleton import bones


class Chest:
    """What the rays of one exposure pass through; all layers float32 [S, S], in cm of water.

    Attributes:
        canvas: the grid.
        anatomy: the measures, as the findings have left them.
        dome: the height of the diaphragm over each pixel's column (a y, no layer).
        heart: path through the heart.
        air: depth of lung along each ray.
        density: tissue fraction of that lung, 0 to 1.
        vessels: blood in the vessels and hila.
        opacity: what fills the air spaces; developing caps it at the air that there is.
        extra: everything that does not lie in the lung: a hernia, thick pleura, lead.
    """

    def __init__(self, canvas: Canvas, anatomy: Anatomy) -> None:
        """The chest as the measures say, before any finding is painted."""
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
        """0 to 1: where lung is deep enough to show something, the strip behind the liver left out."""
        share: Array = np.clip(self.air / 3.5, 0.0, 1.0) * self.canvas.inside(self.dome - self.canvas.y)
        return share

    def free(self) -> Array:
        """The air proper: what an opacity can at most replace, in cm."""
        return self.air * (1.0 - self.density)

    def side(self, side: int) -> Array:
        """1 in the half of the image that belongs to one side of the patient, else 0."""
        return (self.canvas.x * side > 0).astype(np.float32)

    def fill(self, strength: Array) -> None:
        """Replaces at least the share `strength` (0 to 1) of the air by fluid."""
        np.maximum(self.opacity, strength * self.free(), out=self.opacity)

    def path(self) -> Array:
        """Sum of all layers along each ray, in cm of water."""
        canvas, a = self.canvas, self.anatomy
        body = body_thickness(canvas, a)
        free = self.free()
        filled = np.minimum(self.opacity + self.vessels * np.clip(self.air / 2.5, 0.0, 1.0), 0.97 * free)
        heart = 0.18 * self.heart
        path: Array = body - free + filled + heart + bones(canvas, a) * (body > 0) - _stomach(canvas, a)
        path += self.extra
        _mark_left(canvas, path)
        return np.maximum(path, 0.0)


def _vessels(canvas: Canvas, a: Anatomy) -> Array:
    """Pulmonary vessels and the hila they spring from."""
    vessels = 2.2 * canvas.tubes(vessel_tree(a))
    for x, y in ((-4.0, 0.2), (4.5, -0.9)):
        vessels += 1.5 * canvas.blob(x, y, 1.0, 1.7)
    return vessels


def _stomach(canvas: Canvas, a: Anatomy) -> Array:
    """Air in the stomach under the left dome."""
    if a.stomach == 0.0:
        return canvas.blank()
    r = ((canvas.x - 6.3) / 2.9) ** 2 + ((canvas.y - a.dome_left - 2.4) / 1.4) ** 2
    return a.stomach * np.sqrt(np.clip(1.0 - r, 0.0, None))


def _mark_left(canvas: Canvas, path: Array) -> None:
    """Lays the lead letter L into the upper corner on the patient's left."""
    for left, top, right, bottom in ((15.4, -17.2, 15.75, -15.2), (15.4, -15.55, 16.8, -15.2)):
        columns = slice(round(canvas.column(left, top)), round(canvas.column(right, top)))
        path[round(canvas.row(top)) : round(canvas.row(bottom)), columns] = 30.0


def expose(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Develops the film: uint8 [S, S], 0 black.

    The exposure, the latitude of the film, a veil of scatter and the quantum noise vary with `rng`.
    """
    canvas = chest.canvas
    midpoint, latitude = (float(v) for v in rng.uniform((10.6, 3.0), (12.4, 3.7)))
    path = chest.path()
    path += 0.14 * canvas.texture(rng, 0.6) * chest.aerated()
    # Fewer quanta reach a smaller pixel: the noise goes with one over the side of a pixel.
    noise = rng.random(path.shape, np.float32) + rng.random(path.shape, np.float32) - 1.0
    path += (0.009 / canvas.pixel) * noise * np.sqrt(np.maximum(path, 1.0))
    gray = develop(path, midpoint, latitude)
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)
