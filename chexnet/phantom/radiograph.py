"""One radiograph with the findings one asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.phantom.anatomy import Anatomy
from chexnet.phantom.canvas import Array, Canvas, Pose
from chexnet.phantom.chest import Chest, expose
from chexnet.phantom.findings import paint, reshaped
from chexnet.phantom.sites import assign_sites

MIN_SIZE = 32
"""Below this many pixels a side, ribs and nodules are no longer resolved."""

_FOOTPRINT_LEVEL = 0.4

# The last word of every seed (seed, patient, image, purpose); 0 is for the choice of findings. It is never
# left out, because NumPy takes a short seed for one that is filled up with zeros.
_EXPOSURE, _FIRST_FINDING, _ANATOMY = 1, 2, 2 + len(CLASS_NAMES)


@dataclass(frozen=True)
class Box:
    """Where a finding is: left edge, top edge, width and height in pixels of the image it came with."""

    finding: str
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class Radiograph:
    """A drawn radiograph.

    Attributes:
        image: uint8 [S, S], 0 black; the field is FIELD_CM wide.
        findings: in the order of CLASS_NAMES.
        boxes: one or more for each finding, in the pixel space of `image`.
    """

    image: NDArray[np.uint8]
    findings: tuple[str, ...]
    boxes: tuple[Box, ...]


def draw(findings: Sequence[str], size: int, *, seed: int = 0, patient: int = 0, image: int = 0) -> Radiograph:
    """Draws a frontal chest radiograph that shows exactly the given findings.

    The same arguments give the same pixels. (seed, patient) fixes the anatomy; `image` changes pose,
    exposure, noise and where and how large the findings are. Every finding has random numbers of its
    own, so that two calls that differ in one finding differ in the picture by that finding alone.

    Args:
        findings: names from CLASS_NAMES, in any order; none for a normal chest.
        size: pixels a side, at least MIN_SIZE. Another size is the same chest, more or less finely.
        seed: non-negative, like `patient` and `image`.
        patient: which person.
        image: which exposure of that person.

    Raises:
        InputError: an unknown finding, or a size under MIN_SIZE.

    Example:
        >>> draw(["Mass"], 128, seed=1).boxes[0].finding
        'Mass'
    """
    unknown = [name for name in findings if name not in CLASS_NAMES]
    if unknown:
        raise InputError(f"findings: {unknown[0]!r} found, expected one of {', '.join(CLASS_NAMES)}")
    if size < MIN_SIZE:
        raise InputError(f"size: {size} pixels found, at least {MIN_SIZE} expected")
    present = tuple(name for name in CLASS_NAMES if name in findings)
    numbers = {name: _FIRST_FINDING + CLASS_NAMES.index(name) for name in present}
    rngs = {name: np.random.default_rng((seed, patient, image, numbers[name])) for name in present}
    exposure = np.random.default_rng((seed, patient, image, _EXPOSURE))

    sites = assign_sites(present, rngs)
    healthy = Anatomy.sample(np.random.default_rng((seed, patient, 0, _ANATOMY)))
    canvas = Canvas(size, Pose.sample(exposure))
    chest = Chest(canvas, reshaped(healthy, present, sites, rngs))
    footprints = paint(chest, present, sites, rngs)
    boxes = tuple(_box(name, footprint) for name in present for footprint in footprints[name])
    return Radiograph(expose(chest, exposure), present, boxes)


def _box(finding: str, footprint: Array) -> Box:
    """The smallest box around the visible part of a footprint."""
    visible = footprint > _FOOTPRINT_LEVEL * footprint.max()
    columns, rows = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
    x, y = int(columns[0]), int(rows[0])
    return Box(finding, float(x), float(y), float(columns[-1] + 1 - x), float(rows[-1] + 1 - y))
