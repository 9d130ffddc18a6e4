"""Warnings about images that a network trained on frontal chest radiographs was not made for.

They are simple statistics, which see much and understand nothing: a warning is a reason to look at the image, and
no warning is no proof. Nothing is altered. The limits were chosen on 200 radiographs of ChestX-ray14 and on
synthetic ones, and docs/predict.md says how often they warn of what; a side view they know by a DICOM header only.
"""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from chexnet.data.images import sample_warnings, to_gray

MEANINGLESS = "if so, its numbers mean nothing: the network knows upright frontal chest radiographs only"
"""Follows the warnings that an image is something else altogether; see `is_meaningful`."""

MAX_RATIO = 1.5
"""Longer to shorter side; 11 of the 112,120 originals of ChestX-ray14 are longer, by NIH's table of their sizes."""

MAX_COLOUR = 8.0
"""Mean difference of the largest and the smallest of red, green and blue, of 255; scanned films are tinted a little."""

MIN_LEVELS = 64
"""Gray levels in use; the 200 radiographs have 154 or more."""

MIN_CONTRAST = 15.0
"""Standard deviation of the pixels, of 255; the 200 radiographs have 28 or more."""

MAX_FRAME = 0.08
"""Share of a side that a uniform edge may take: six of the 200 have more, all of them framed."""

MIN_LIKENESS = 0.2
"""See `likeness`; three of the 200 radiographs have less."""

FRONTAL_VIEWS = ("PA", "AP")
RADIOGRAPHS = ("CR", "DX", "DR", "RG", "XR")
"""Modality and view of a frontal radiograph, as DICOM headers spell them."""

_FRAME_GRID = 128
_GRID = 64
_EDGE = 4


def check_image(image: Image.Image, crop: int, chest: bool = True) -> tuple[str, ...]:
    """Return what speaks against an image, a sentence each; empty if nothing does.

    Args:
        image: what `chexnet.data.images.open_image` gave, colours, if any, and `info` included.
        crop: side of the square that the network sees, pixels; a smaller image is enlarged.
        chest: whether the network is one of chest radiographs; of others MEANINGLESS is not said.
    """
    gray = to_gray(image)
    edges = border_fractions(gray)
    header = _header(image.info)
    found = [*header, *sample_warnings(image), *_format(image, crop)]
    unlike = _empty(gray)
    if not unlike:
        found += _border(edges)
        unlike = _unlike(gray, edges)
    if unlike:
        found.append(unlike)
    if chest and (header or unlike):
        found.append(MEANINGLESS)
    return tuple(found)


def is_meaningful(warnings: Iterable[str]) -> bool:
    """Return whether the network's numbers mean anything for an image, as far as its warnings know."""
    return MEANINGLESS not in warnings


def border_fractions(gray: Image.Image) -> tuple[float, float, float, float]:
    """The share of the height or width that is uniform from the top, bottom, left and right edge, each below 0.5.

    A line is uniform if 90 % of its pixels are within 3 gray levels of its median, so that letters in a bar do not
    end it.
    """
    pixels = np.asarray(gray.resize((_FRAME_GRID, _FRAME_GRID), Image.Resampling.NEAREST)).astype(np.int16)

    def uniform(lines: np.ndarray) -> float:
        half = lines[: _FRAME_GRID // 2 - 1]
        flat = (np.abs(half - np.median(half, axis=1, keepdims=True)) <= 3).mean(axis=1) >= 0.9
        return float(np.append(flat, False).argmin() / _FRAME_GRID)

    return uniform(pixels), uniform(pixels[::-1]), uniform(pixels.T), uniform(pixels.T[::-1])


def chest_similarity(pixels: np.ndarray) -> float:
    """How much an image has of two lungs darker than what is between and below them, -1 to 1.

    It is a correlation with exactly that picture, and again when the plane that fits best has been taken off both,
    because brightness that rises over the whole image would be like a chest as well. The weaker of the two counts,
    0 if they contradict each other. An inverted image has the negative likeness.

    Args:
        pixels: float [64, 64], any scale.
    """
    values = pixels[_MASK]
    plain, without_plane = (
        _correlation(remove(values), remove(_TEMPLATE)) for remove in (_without_mean, _without_plane)
    )
    if plain * without_plane <= 0:
        return 0.0
    return min(plain, without_plane, key=abs)


def _header(info: dict[str | tuple[int, int], object]) -> list[str]:
    modality, view = info.get("Modality"), info.get("ViewPosition")
    found = []
    if modality and modality not in RADIOGRAPHS:
        found.append(f"its header says that it is no radiograph but {modality}")
    if view and view not in FRONTAL_VIEWS:
        found.append(f"its header says that the view is {view}, not frontal ({' or '.join(FRONTAL_VIEWS)})")
    return found


def _format(image: Image.Image, crop: int) -> list[str]:
    """Size, shape and colour."""
    shorter, longer = sorted(image.size)
    found = []
    if shorter < crop:
        found.append(f"only {image.width} x {image.height} pixels, at least {crop} a side are wanted")
    if longer > MAX_RATIO * shorter:
        found.append(f"one side is {longer / shorter:.1f} times the other, expected at most {MAX_RATIO} times")
    if image.mode not in ("L", "LA", "1"):
        channels = np.asarray(image.convert("RGB").resize((_GRID, _GRID), Image.Resampling.BOX)).astype(np.int16)
        if np.ptp(channels, axis=2).mean() > MAX_COLOUR:
            found.append("it has colours: a photograph or a screen, not a radiograph as it was stored")
    return found


def _empty(gray: Image.Image) -> str:
    """What is said of an image that is nearly of one brightness; empty of others."""
    levels = np.array(gray.histogram())
    used = int((levels > 1e-5 * levels.sum()).sum())
    contrast = float(np.asarray(gray.resize((_FRAME_GRID, _FRAME_GRID), Image.Resampling.NEAREST)).std())
    if used < MIN_LEVELS or contrast < MIN_CONTRAST:
        return f"almost nothing to see: {used} gray levels, standard deviation {contrast:.0f} of 255"
    return ""


def _border(edges: tuple[float, float, float, float]) -> list[str]:
    """What is said of a frame."""
    wide = [
        f"{100 * share:.0f} % at the {side}"
        for share, side in zip(edges, ("top", "bottom", "left", "right"), strict=True)
        if share > MAX_FRAME
    ]
    return [f"a uniform border or bar, {', '.join(wide)}: crop it, the network looks at it too"] if wide else []


def _unlike(gray: Image.Image, edges: tuple[float, float, float, float]) -> str:
    """What is said of an image that, inside its frame, does not look like a frontal chest radiograph; else empty."""
    top, bottom, left, right = edges
    width, height = gray.size
    inside = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    pixels = np.asarray(gray.resize((_GRID, _GRID), Image.Resampling.BOX, box=inside), dtype=np.float64)
    value = chest_similarity(pixels)
    if value >= MIN_LIKENESS:
        return ""
    centre = pixels[_GRID // 4 : -_GRID // 4, _GRID // 4 : -_GRID // 4].mean()
    rim = np.concatenate([pixels[:_EDGE].ravel(), pixels[_EDGE:, :_EDGE].ravel(), pixels[_EDGE:, -_EDGE:].ravel()])
    if value <= -MIN_LIKENESS and rim.mean() > centre:
        return "probably inverted: the background is bright and the lungs are; air is dark in a radiograph"
    return "does not look like an upright frontal chest radiograph: no two dark lungs where they should be"


def _ellipse(x: np.ndarray, y: np.ndarray, middle: float) -> np.ndarray:
    return ((x - middle) / 0.10) ** 2 + ((y - 0.42) / 0.20) ** 2 <= 1


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    length = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / length) if length > 1e-6 else 0.0


def _without_mean(values: np.ndarray) -> np.ndarray:
    return values - values.mean()


def _without_plane(values: np.ndarray) -> np.ndarray:
    return values - _PLANES @ (_PLANES.T @ values)


_Y, _X = (np.mgrid[:_GRID, :_GRID] + 0.5) / _GRID
_LUNGS = _ellipse(_X, _Y, 0.29) | _ellipse(_X, _Y, 0.71)
_SPINE = (np.abs(_X - 0.5) < 0.06) & (_Y > 0.2) & (_Y < 0.9)
_ABDOMEN = (np.abs(_X - 0.5) < 0.3) & (_Y > 0.8)
_MASK = _LUNGS | _SPINE | _ABDOMEN
_TEMPLATE = np.where(_LUNGS, -1.0, 1.0)[_MASK]
_PLANES = np.linalg.qr(np.stack([np.ones(_MASK.sum()), _X[_MASK], _Y[_MASK]], axis=1))[0]
