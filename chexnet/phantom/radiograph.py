"""A synthetic radiograph with given findings."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES
from chexnet.phantom.anatomy import Anatomy
from chexnet.phantom.canvas import Array, Canvas, Pose
from chexnet.phantom.chest import Chest, expose
from chexnet.phantom.confounders import CONFOUNDERS
from chexnet.phantom.findings import paint, reshape
from chexnet.phantom.sites import assign_sites

MIN_SIZE = 32
"""Minimum pixels per side; smaller images do not resolve ribs and nodules."""

_FOOTPRINT_LEVEL = 0.4

# Last number of each seed (seed, patient, image, purpose); 0 is the choice of findings. It is never omitted, because
# NumPy pads short seeds with zeros.
_EXPOSURE, _FIRST_FINDING, _ANATOMY = 1, 2, 2 + len(CLASS_NAMES)
CHOICE_OF_CONFOUNDERS = _ANATOMY + 1
_FIRST_CONFOUNDER = CHOICE_OF_CONFOUNDERS + 1


@dataclass(frozen=True)
class Box:
    """Bounding box of a finding or a confounder: left edge, top edge, width and height in pixels of the radiograph."""

    finding: str
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class Radiograph:
    """A synthetic radiograph.

    Attributes:
        image: uint8 [S, S], 0 is black; the field is FIELD_CM wide.
        findings: names in the order of CLASS_NAMES.
        boxes: one or more boxes per finding, in the pixel space of `image`.
        confounders: one box per confounder, around all pixels that it covers.
    """

    image: NDArray[np.uint8]
    findings: tuple[str, ...]
    boxes: tuple[Box, ...]
    confounders: tuple[Box, ...] = ()


def draw(
    findings: Sequence[str],
    size: int,
    *,
    seed: int = 0,
    patient: int = 0,
    image: int = 0,
    confounders: Sequence[str] = (),
) -> Radiograph:
    """Draw a frontal chest radiograph that shows exactly the given findings and confounders.

    The same arguments give the same pixels. (seed, patient) determines the anatomy; `image` changes pose, exposure and
    noise, and the location and size of the findings. Each finding has its own random numbers, so that the images of two
    calls that differ in one finding differ by that finding only. A confounder changes the pixels that it covers, and no
    others.

    Args:
        findings: names from CLASS_NAMES, in any order; none for a normal chest.
        size: pixels per side, at least MIN_SIZE. Every size shows the same chest.
        seed: random seed, non-negative like `patient` and `image`.
        patient: number of the patient.
        image: number of the exposure of this patient.
        confounders: names from CONFOUNDERS, in any order.

    Raises:
        InputError: a finding or a confounder is unknown, or the size is less than MIN_SIZE.

    Example:
        >>> draw(["Mass"], 128, seed=1).boxes[0].finding
        'Mass'
    """
    _check_names("findings", findings, CLASS_NAMES)
    _check_names("confounders", confounders, CONFOUNDERS)
    if size < MIN_SIZE:
        raise InputError(f"size: {size} pixels, expected at least {MIN_SIZE}")
    present = tuple(name for name in CLASS_NAMES if name in findings)
    numbers = {name: _FIRST_FINDING + CLASS_NAMES.index(name) for name in present}
    rngs = {name: np.random.default_rng((seed, patient, image, numbers[name])) for name in present}
    exposure = np.random.default_rng((seed, patient, image, _EXPOSURE))

    sites = assign_sites(present, rngs)
    healthy = Anatomy.sample(np.random.default_rng((seed, patient, 0, _ANATOMY)))
    canvas = Canvas(size, Pose.sample(exposure))
    chest = Chest(canvas, reshape(healthy, present, sites, rngs))
    footprints = paint(chest, present, sites, rngs)
    boxes = tuple(_box(name, footprint) for name in present for footprint in footprints[name])
    covered = _add_confounders(chest, confounders, (seed, patient, image))
    return Radiograph(expose(chest, exposure), present, boxes, covered)


def _check_names(argument: str, names: Sequence[str], known: Collection[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"{argument}: {unknown[0]!r}, expected one of {', '.join(known)}")


def _add_confounders(chest: Chest, names: Sequence[str], seed: tuple[int, int, int]) -> tuple[Box, ...]:
    """Add confounders to the layers of a chest and return their boxes, in the order of CONFOUNDERS."""
    boxes = []
    for index, (name, path_of) in enumerate(CONFOUNDERS.items()):
        if name in names:
            path = path_of(chest, np.random.default_rng((*seed, _FIRST_CONFOUNDER + index)))
            chest.extra += path
            boxes.append(_bounding_box(name, path > 0))
    return tuple(boxes)


def _box(finding: str, footprint: Array) -> Box:
    """Return the smallest box around the visible part of a footprint."""
    return _bounding_box(finding, footprint > _FOOTPRINT_LEVEL * footprint.max())


def _bounding_box(name: str, visible: Array) -> Box:
    columns, rows = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
    x, y = int(columns[0]), int(rows[0])
    return Box(name, float(x), float(y), float(columns[-1] + 1 - x), float(rows[-1] + 1 - y))
