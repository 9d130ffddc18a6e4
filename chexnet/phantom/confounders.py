"""Things on a radiograph that are no finding: a drain, a pacemaker, and lead markers next to the patient.

In real data they go with findings, and a network may learn them in place of the finding (Zech et al., PLOS Medicine
15(11), 2018; Oakden-Rayner et al., CHIL 2020). Each adds path length where it lies and leaves every other pixel as it
is.
"""

from collections.abc import Callable, Sequence

import numpy as np

from chexnet.phantom.anatomy import LEFT, RIGHT
from chexnet.phantom.canvas import Array, Point, Tube
from chexnet.phantom.chest import Chest

_LEAD = 25.0
"""Path in cm of water that stands for the lead of a marker; it saturates the film."""


def chest_drain(chest: Chest, rng: np.random.Generator) -> Array:
    """Return the path through a tube that enters between the ribs and ends near the top of the lung."""
    a = chest.anatomy
    side = RIGHT if rng.random() < 0.5 else LEFT
    enters, ends, bulge = (float(v) for v in rng.uniform((1.0, 3.0, 1.2), (4.0, 4.5, 2.2)))
    heights = np.linspace(enters, a.apex + ends, 9, dtype=np.float32)
    wall = a.lateral(heights)
    inward = bulge + 1.5 * np.linspace(0.0, 1.0, 9) ** 2
    points = [(side * (a.half_width + 3.2), enters + 1.6)]
    points += [(side * float(x), float(y)) for x, y in zip(wall - inward, heights, strict=True)]
    return 3.0 * _strokes(chest, [points], 0.53) + 12.0 * _strokes(chest, [points], 0.15)


def pacemaker(chest: Chest, rng: np.random.Generator) -> Array:
    """Return the path through a generator below the patient's left clavicle and a lead into the right ventricle."""
    canvas, a = chest.canvas, chest.anatomy
    x, y = (float(v) for v in rng.uniform((8.6, a.apex + 4.6), (9.6, a.apex + 5.6)))
    across, down = (canvas.x - x) / 2.3, (canvas.y - y) / 2.0
    case = canvas.inside(2.0 * (1.0 - (across**4 + down**4 + 1e-6) ** 0.25))
    cx, cy, along, _ = a.heart
    lead: list[Point] = [(x - 2.0, y - 0.8), (5.2, a.apex + 2.6), (1.6, a.apex + 3.4), (-2.3, -6.0), (-2.6, -1.0)]
    lead += [(-1.6, cy + 1.2), (cx + 0.45 * along, cy + 2.4)]
    return 14.0 * case + 9.0 * _strokes(chest, [lead], 0.12)


def ap_marker(chest: Chest, rng: np.random.Generator) -> Array:
    """Return the path through the lead letters AP, at the patient's right shoulder."""
    x, y = (float(v) for v in rng.uniform((-14.6, -14.6), (-13.4, -13.4)))
    letters = [[(0.0, 1.9), (0.75, 0.0), (1.5, 1.9)], [(0.35, 1.25), (1.15, 1.25)], *_letter_p(2.2)]
    return _LEAD * _marker(chest, letters, x, y)


def letter(chest: Chest, rng: np.random.Generator) -> Array:
    """Return the path through a lead letter R, at the patient's right elbow."""
    x, y = (float(v) for v in rng.uniform((-15.2, 11.6), (-14.2, 13.0)))
    return _LEAD * _marker(chest, [*_letter_p(0.0), [(0.35, 1.0), (1.1, 1.9)]], x, y)


CONFOUNDERS: dict[str, Callable[[Chest, np.random.Generator], Array]] = {
    "chest_drain": chest_drain,
    "pacemaker": pacemaker,
    "ap_marker": ap_marker,
    "letter": letter,
}
"""Confounder -> function that returns its path in cm of water, float32 [S, S], 0 where it does not lie."""


def _letter_p(x: float) -> list[list[Point]]:
    """Return the strokes of the letter P, 1.9 cm high, with its stem at `x`."""
    bowl = [(0.0, 0.0), (0.75, 0.0), (1.1, 0.25), (1.1, 0.75), (0.75, 1.0), (0.0, 1.0)]
    return [[(x, 0.0), (x, 1.9)], [(x + dx, y) for dx, y in bowl]]


def _marker(chest: Chest, strokes: Sequence[Sequence[Point]], x: float, y: float) -> Array:
    """Return the coverage (0 to 1) of letters of lead whose upper left corner is at `x`, `y`."""
    moved = [[(x + dx, y + dy) for dx, dy in stroke] for stroke in strokes]
    return np.minimum(_strokes(chest, moved, 0.2) / np.float32(0.3), 1.0)


def _strokes(chest: Chest, lines: Sequence[Sequence[Point]], radius: float) -> Array:
    """Return the path through round strokes of equal radius (cm)."""
    tubes: list[Tube] = [(list(points), [radius] * (len(points) - 1)) for points in lines]
    return chest.canvas.tubes(tubes)
