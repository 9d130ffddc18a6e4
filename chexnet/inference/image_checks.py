"""Warn about images that are unsuitable for a network trained on frontal chest radiographs.

The checks are simple image statistics: a warning is a reason to inspect the image, and the absence of warnings proves
nothing. Images are never changed. The limits were chosen on 200 radiographs of ChestX-ray14 and on synthetic ones;
docs/predict.md lists how often each warning occurs. Only a DICOM header can identify a lateral view.
"""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from chexnet.data.images import sample_warnings, to_gray

MEANINGLESS = "if so, its numbers are meaningless: the network was trained on upright frontal chest radiographs only"
"""Last warning for an image that is probably not a frontal chest radiograph; see `is_meaningful`."""

MAX_RATIO = 1.5
"""Ratio of the longer to the shorter side. In NIH's table of sizes, 11 of 112,120 images of ChestX-ray14 exceed it."""

MAX_COLOR = 8.0
"""Mean range of red, green and blue in a pixel, 0..255. Scanned films have a slight tint."""

MIN_LEVELS = 64
"""Number of gray levels in use; at least 154 in the 200 radiographs."""

MIN_CONTRAST = 15.0
"""Standard deviation of the pixels, in gray levels of 0..255; at least 28 in the 200 radiographs."""

MAX_BORDER = 0.08
"""Fraction of the height or width that a uniform border may have. Six of the 200 radiographs exceed it; all six have
borders."""

MIN_SIMILARITY = 0.2
"""Lower limit of `chest_similarity`; three of the 200 radiographs are below it."""

FRONTAL_VIEWS = ("PA", "AP")
RADIOGRAPHS = ("CR", "DX", "DR", "RG", "XR")
"""View positions and modalities of frontal radiographs, as DICOM headers spell them."""

_BORDER_GRID = 128
_GRID = 64
_EDGE = 4


def check_image(image: Image.Image, crop: int, chest: bool = True) -> tuple[str, ...]:
    """Return the warnings about an image, one sentence each.

    Args:
        image: image from `chexnet.data.images.open_image`, with its colors and `info`.
        crop: side of the network's square input, pixels.
        chest: True for a network for chest radiographs; the warning MEANINGLESS is for these only.
    """
    gray = to_gray(image)
    borders = border_fractions(gray)
    header = _header(image.info)
    warnings = [*header, *sample_warnings(image), *_format(image, crop)]
    unlike = _empty(gray)
    if not unlike:
        warnings += _border(borders)
        unlike = _unlike(gray, borders)
    if unlike:
        warnings.append(unlike)
    if chest and (header or unlike):
        warnings.append(MEANINGLESS)
    return tuple(warnings)


def is_meaningful(warnings: Iterable[str]) -> bool:
    """Return False if the warnings of an image make the network's numbers meaningless."""
    return MEANINGLESS not in warnings


def border_fractions(gray: Image.Image) -> tuple[float, float, float, float]:
    """Return the uniform border at the top, bottom, left and right, as fractions below 0.5 of the height or width.

    A line of pixels is uniform if 90 % of them are within 3 gray levels of their median. Letters in a border do not
    matter.
    """
    pixels = np.asarray(gray.resize((_BORDER_GRID, _BORDER_GRID), Image.Resampling.NEAREST)).astype(np.int16)

    def uniform(lines: np.ndarray) -> float:
        half = lines[: _BORDER_GRID // 2 - 1]
        flat = (np.abs(half - np.median(half, axis=1, keepdims=True)) <= 3).mean(axis=1) >= 0.9
        return float(np.append(flat, False).argmin() / _BORDER_GRID)

    return uniform(pixels), uniform(pixels[::-1]), uniform(pixels.T), uniform(pixels.T[::-1])


def chest_similarity(pixels: np.ndarray) -> float:
    """Measure how much an image resembles two dark lungs with brighter tissue between and below them, -1..1.

    The measure is the correlation with a template of that shape. It is computed for the pixels, and again after
    subtracting the best-fitting plane from image and template, because a brightness gradient alone also resembles a
    chest. The result is the correlation closer to 0, or 0 if the signs differ. Inverting an image changes the sign.

    Args:
        pixels: float [64, 64], any scale.
    """
    values = pixels[_MASK]
    plain, detrended = (_correlation(remove(values), remove(_TEMPLATE)) for remove in (_without_mean, _without_plane))
    if plain * detrended <= 0:
        return 0.0
    return min(plain, detrended, key=abs)


def _header(info: dict[str | tuple[int, int], object]) -> list[str]:
    """Return warnings about modality and view."""
    modality, view = info.get("Modality"), info.get("ViewPosition")
    warnings = []
    if modality and modality not in RADIOGRAPHS:
        warnings.append(f"its modality is {modality}, not a radiograph")
    if view and view not in FRONTAL_VIEWS:
        warnings.append(f"its view position is {view}, not frontal ({' or '.join(FRONTAL_VIEWS)})")
    return warnings


def _format(image: Image.Image, crop: int) -> list[str]:
    """Return warnings about size, shape and color."""
    shorter, longer = sorted(image.size)
    warnings = []
    if shorter < crop:
        warnings.append(f"only {image.width} x {image.height} pixels, expected at least {crop} per side")
    if longer > MAX_RATIO * shorter:
        warnings.append(f"one side is {longer / shorter:.1f} times the other, expected at most {MAX_RATIO} times")
    if image.mode not in ("L", "LA", "1"):
        channels = np.asarray(image.convert("RGB").resize((_GRID, _GRID), Image.Resampling.BOX)).astype(np.int16)
        if np.ptp(channels, axis=2).mean() > MAX_COLOR:
            warnings.append("it has colors: probably a photograph or a screenshot, not an original radiograph")
    return warnings


def _empty(gray: Image.Image) -> str:
    """Return a warning about an image of nearly uniform brightness, or an empty string."""
    levels = np.array(gray.histogram())
    used = int((levels > 1e-5 * levels.sum()).sum())
    contrast = float(np.asarray(gray.resize((_BORDER_GRID, _BORDER_GRID), Image.Resampling.NEAREST)).std())
    if used < MIN_LEVELS or contrast < MIN_CONTRAST:
        return f"almost uniform: {used} gray levels, standard deviation {contrast:.0f} of 255"
    return ""


def _border(borders: tuple[float, float, float, float]) -> list[str]:
    """Return a warning about wide borders."""
    wide = [
        f"{100 * fraction:.0f} % at the {side}"
        for fraction, side in zip(borders, ("top", "bottom", "left", "right"), strict=True)
        if fraction > MAX_BORDER
    ]
    return [f"a uniform border or bar, {', '.join(wide)}: crop it, because the network sees it too"] if wide else []


def _unlike(gray: Image.Image, borders: tuple[float, float, float, float]) -> str:
    """Return a warning if the image inside its borders is unlike a frontal chest radiograph, or an empty string."""
    top, bottom, left, right = borders
    width, height = gray.size
    inside = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    pixels = np.asarray(gray.resize((_GRID, _GRID), Image.Resampling.BOX, box=inside), dtype=np.float64)
    similarity = chest_similarity(pixels)
    if similarity >= MIN_SIMILARITY:
        return ""
    center = pixels[_GRID // 4 : -_GRID // 4, _GRID // 4 : -_GRID // 4].mean()
    rim = np.concatenate([pixels[:_EDGE].ravel(), pixels[_EDGE:, :_EDGE].ravel(), pixels[_EDGE:, -_EDGE:].ravel()])
    if similarity <= -MIN_SIMILARITY and rim.mean() > center:
        return "probably inverted: background and lungs are bright, but air should be dark"
    return "does not look like an upright frontal chest radiograph: no two dark lungs in the expected positions"


def _ellipse(x: np.ndarray, y: np.ndarray, middle: float) -> np.ndarray:
    return ((x - middle) / 0.10) ** 2 + ((y - 0.42) / 0.20) ** 2 <= 1


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 1e-6 else 0.0


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
