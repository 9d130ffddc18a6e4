"""Bones and airways, which do not change with the findings."""

import numpy as np

from chexnet.phantom.anatomy import LEFT, RIGHT, Anatomy
from chexnet.phantom.canvas import Array, Canvas, Tube, smoothstep


def bones(canvas: Canvas, a: Anatomy) -> Array:
    """Return ribs, spine, clavicles and shoulder blades in cm of water, float32 [S, S]."""
    shadow = ribs(canvas, a) + spine(canvas)
    _girdle(canvas, a, shadow)
    return shadow


def ribs(canvas: Canvas, a: Anatomy) -> Array:
    """Return both sets of ribs: posterior ones arch outwards and down, anterior ones slope towards the sternum."""
    x, y = np.abs(canvas.x), canvas.y
    cage = a.lateral(y) + 0.45
    s = np.clip(x / cage, 0.0, 1.0)
    turn = np.sqrt(1.0 - (0.985 * s) ** 2)
    caged = canvas.inside(cage - x, 0.3) * smoothstep(y, a.apex - 0.6, a.apex + 0.6)
    back = _family(canvas, y - 7.0 * (1.0 - turn) + 2.6 * s, a, 0.0, 0.42)
    back *= smoothstep(x, 1.6, 2.6)
    front = _family(canvas, y - 1.0 * (1.0 - turn) + 7.5 * s * s - 9.5 * s, a, 1.1, 0.5)
    front *= smoothstep(x, 3.5, 8.0) * smoothstep(-y, -6.0, 0.0)
    # Ribs are faint behind the liver, where the film is nearly saturated; ribs 11 and 12 are short.
    low = 1.0 - 0.85 * smoothstep(y, a.dome_right, a.dome_right + 6.0)
    shadow: Array = (1.15 * back + 0.6 * front) * caged * low
    return shadow


def _family(canvas: Canvas, height: Array, a: Anatomy, offset: float, half: float) -> Array:
    """Return evenly spaced tubes of bone along the level lines of `height`, with a denser cortex."""
    phase = (height - a.rib_phase - offset) / a.rib_spacing
    distance = np.abs(phase - np.round(phase)) * a.rib_spacing
    body = canvas.inside(half - distance, 0.22)
    cortex = np.maximum(1.0 - np.abs(distance - half + 0.1) / max(0.22, canvas.pixel), 0.0)
    return 0.75 * body + 0.5 * cortex


def spine(canvas: Canvas) -> Array:
    """Return vertebral bodies and discs, and the lucent trachea with the main bronchi."""
    x, y = np.abs(canvas.x), canvas.y
    phase = y / 2.5 + 0.2
    disc = np.exp(-(((phase - np.round(phase)) / 0.13) ** 2))
    column = canvas.inside(1.8 - x, 0.9) * (2.2 - 1.0 * disc)
    pedicles = np.exp(-(((x - 1.1) / 0.35) ** 2) - ((phase - np.floor(phase) - 0.5) / 0.14) ** 2)
    windpipe = canvas.inside(0.85 - x, 0.4) * smoothstep(-y, 3.5, 4.5)
    fork = canvas.inside(0.6 - np.abs(y + 4.2 - 0.75 * x), 0.5) * canvas.inside(3.4 - x, 1.0)
    return column + 0.8 * pedicles - 2.6 * windpipe - 1.2 * fork * smoothstep(y, -5.0, -4.0)


def _girdle(canvas: Canvas, a: Anatomy, shadow: Array) -> None:
    """Add clavicles, shoulder blades and humeral heads to `shadow`."""
    bone: list[Tube] = []
    w, top = a.half_width, a.apex
    for side in (RIGHT, LEFT):
        clavicle = ((2.0, 3.0), (5.0, 2.5), (8.5, 1.2), (12.0, -0.4), (15.5, -0.8))
        bone.append(([(side * px, top + py) for px, py in clavicle], [0.6, 0.54, 0.52, 0.56]))
        blade = ((-0.6, 3.5), (0.2, 8.0), (1.4, 13.0), (2.6, 9.0), (3.0, 3.0))
        bone.append(([(side * (w + px), top + py) for px, py in blade], [0.38] * 4))
        shadow += 2.2 * canvas.blob(side * (w + 3.6), top + 1.8, 1.7, 1.9)
    shadow += 1.5 * canvas.tubes(bone)
