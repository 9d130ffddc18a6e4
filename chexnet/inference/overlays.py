"""Draw heat maps over images.

The image stays gray. A single color covers it, with an opacity that grows with the evidence for the finding, and with
contours at fixed values: one hue of varying strength is readable in print and for color-blind people. All findings and
images of a network share one scale, so an absent finding stays gray.

The pictures are drawn with Pillow: matplotlib took twelve times as long for the same picture (512 x 512, median of 25
on a CPU).
"""

from bisect import bisect_right
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from chexnet.inference.fonts import drawable, face

COLOR = (230, 159, 0)
LINE = (86, 180, 233)
"""Orange and sky blue of Okabe and Ito, Color Universal Design, 2008."""

OPACITY = 0.5
"""Opacity of the color where a map reaches its maximum on the scale."""

STEP = 0.25
"""Distance of contours, as a fraction of the scale."""

DIMMED = 0.4
"""Brightness factor of the part of the image outside all crops."""

PANEL = 512
"""Longer side of the image in a panel, pixels."""

SCALE_WIDTH = 130
"""Width of the scale that `draw_scale` draws, pixels."""

MARGIN = 12
TEXT = (235, 235, 235)
BACKGROUND = (16, 16, 16)

_MAX_TEXT_WIDTH = 6000
"""Maximum length of a line of text, pixels."""

_BAR = 18
_BAR_GRAY = 96
_OVERHANG = 2
"""Pixels of an end line that lie outside the scale."""


def panel_size(gray: Image.Image, side: int = PANEL) -> tuple[int, int]:
    """Return height and width of the image when its longer side is scaled to `side` pixels."""
    scale = side / max(gray.size)
    return max(1, round(gray.height * scale)), max(1, round(gray.width * scale))


def overlay(gray: Image.Image, heatmap: np.ndarray) -> Image.Image:
    """Draw a heat map over an image.

    Args:
        gray: mode L, any size.
        heatmap: float32 [h, w] in 0..1, NaN outside all crops, from `chexnet.inference.cam.to_opacity`.

    Returns:
        Mode RGB, w x h pixels.
    """
    height, width = heatmap.shape
    pixels = gray.resize((width, height), Image.Resampling.BICUBIC)
    outside = np.isnan(heatmap)
    if outside.any():
        pixels = Image.composite(pixels.point(lambda value: value * DIMMED), pixels, Image.fromarray(outside))
    picture = _alpha_composite(pixels.convert("RGB"), COLOR, np.where(outside, 0, OPACITY * heatmap))
    return _alpha_composite(picture, LINE, _contours(heatmap))


def render_panel(
    gray: Image.Image, heatmap: np.ndarray, cam_max: float, title: str, disclaimer: str = ""
) -> Image.Image:
    """Draw a picture of one heat map with a title, a scale and, if there is one, a disclaimer.

    Args:
        gray: mode L, any size.
        heatmap: see `overlay`; its size is the size of the image in the picture.
        cam_max: logit that corresponds to 1.
        title: line above the image.
        disclaimer: line below the image; may be empty.

    Returns:
        Mode RGB.
    """
    panel = overlay(gray, heatmap)
    head, foot = 34, 26 if disclaimer else MARGIN
    title, disclaimer = fitted(title, 18, _MAX_TEXT_WIDTH), fitted(disclaimer, 14, _MAX_TEXT_WIDTH)
    text_width = int(max(face(title, 18).getlength(title), face(disclaimer, 14).getlength(disclaimer)))
    width = 2 * MARGIN + max(panel.width + MARGIN + SCALE_WIDTH, text_width)
    picture = Image.new("RGB", (width, panel.height + head + foot), BACKGROUND)
    picture.paste(panel, (MARGIN, head))
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, head // 2), title, TEXT, face(title, 18), anchor="lm")
    draw.text((MARGIN, picture.height - foot // 2), disclaimer, TEXT, face(disclaimer, 14), anchor="lm")
    draw_scale(picture, panel.width + 2 * MARGIN, head, panel.height, cam_max)
    return picture


def draw_scale(picture: Image.Image, left: int, top: int, height: int, cam_max: float) -> None:
    """Draw a scale from 0 to `cam_max` logit units, SCALE_WIDTH pixels wide, into a picture of mode RGB."""
    picture.paste(_scale(height, cam_max), (left, top - _OVERHANG))


def fitted(text: str, size: int, width: int, end: bool = False) -> str:
    """Return the text as one line of limited width that `fonts.face` can draw.

    Line breaks, control characters and lone surrogates become U+FFFD.

    Args:
        text: any text, such as a file name, a class name or a disclaimer.
        size: font size.
        width: maximum width in pixels; `...` replaces the rest of a longer text.
        end: keep the end of the text instead of its beginning.
    """
    text = drawable("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text))
    font = face(text, size)
    if len(text) <= width and font.getlength(text) <= width:  # no character is narrower than a pixel
        return text

    def shortened(letters: int) -> str:
        return f"...{text[len(text) - letters :]}" if end else f"{text[:letters]}..."

    lengths = range(min(len(text), width))
    letters = bisect_right(lengths, width, key=lambda count: int(font.getlength(shortened(count)))) - 1
    return shortened(letters) if letters > 0 else ""


@cache
def _scale(height: int, cam_max: float) -> Image.Image:
    """Draw a color bar of `height` pixels with _OVERHANG pixels above and below it."""
    picture = Image.new("RGB", (SCALE_WIDTH, height + 2 * _OVERHANG), BACKGROUND)
    values = np.repeat(np.linspace(1, 0, height)[:, None], _BAR, axis=1)
    bar = _alpha_composite(Image.new("RGB", (_BAR, height), (_BAR_GRAY,) * 3), COLOR, OPACITY * values)
    picture.paste(bar, (0, _OVERHANG))
    draw = ImageDraw.Draw(picture)
    for share in np.arange(0, 1 + STEP / 2, STEP):
        y = _OVERHANG + round((1 - share) * (height - 1))
        label = f"{share * cam_max:g}"
        if share in (0, 1):
            label, color, anchor = f"{label} or {'more' if share else 'less'}", TEXT, "la" if share else "ld"
        else:
            color, anchor = LINE, "lm"
        draw.line((0, y, _BAR + 4, y), color, width=2)
        draw.text((_BAR + 8, y), label, TEXT, face(label, 14), anchor=anchor)
    unit = Image.new("L", (height, 20))
    ImageDraw.Draw(unit).text((height // 2, 10), "local logit", 255, face("", 14), anchor="mm")
    picture.paste(TEXT, (SCALE_WIDTH - 20, _OVERHANG), unit.rotate(90, expand=True))
    return picture


def _contours(heatmap: np.ndarray) -> np.ndarray:
    """Return the opacity of the contours at each pixel, 0..1: antialiased lines of 2 pixels.

    The distance of a pixel from the nearest contour is approximated by its difference in value divided by the slope.
    """
    down, right = np.gradient(heatmap)
    level = STEP * np.clip(np.rint(heatmap / STEP), 1, round(1 / STEP) - 1)
    slope = np.sqrt(down * down + right * right)
    distance = np.abs(heatmap - level) / np.maximum(slope, np.float32(1e-6))
    opacity = np.clip(1.5 - distance, 0, 1)
    return np.where(np.isnan(opacity), 0, opacity)  # the slope is NaN next to pixels outside all crops


def _alpha_composite(picture: Image.Image, color: tuple[int, int, int], opacity: np.ndarray) -> Image.Image:
    """Lay a color over a picture, with opacity [h, w] in 0..1."""
    mask = Image.fromarray(np.rint(255 * opacity).astype(np.uint8))
    return Image.composite(Image.new("RGB", picture.size, color), picture, mask)
