"""Pictures of where a network saw a finding.

The image stays the gray that it is. Over it lies one colour, the more opaque the more a place speaks for the
finding, with contours at fixed values: one hue that rises in strength alone can be read by colour-blind eyes and in
print. The scale is the same for all findings and images of a network, so an absent finding stays gray.

Pillow draws them: matplotlib took twelve times as long for the same picture (512 x 512, median of 25 on a CPU).
"""

from bisect import bisect_right
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLOUR = (230, 159, 0)
LINE = (86, 180, 233)
"""Orange and sky blue of Okabe and Ito, Color Universal Design, 2008."""

OPACITY = 0.5
"""Of the colour where a map is at its limit."""

STEP = 0.25
"""Share of the limit from one contour to the next."""

DIMMED = 0.4
"""How bright is what no crop looked at."""

PANEL = 512
"""Pixels of an image's longer side in a picture of its own."""

SCALE_WIDTH = 130
"""Pixels that `draw_scale` takes."""

MARGIN = 12
TEXT = (235, 235, 235)
BACKGROUND = (16, 16, 16)

_MAX_TEXT = 6000
"""Pixels of a line of text; what people call files and write into notices is shorter."""

_BAR = 18
_BAR_GRAY = 96
_OVERHANG = 2
"""Of a line at the end of the scale, pixels."""


def panel_size(gray: Image.Image, side: int = PANEL) -> tuple[int, int]:
    """Height and width of an image whose longer side is to be `side` pixels."""
    scale = side / max(gray.size)
    return max(1, round(gray.height * scale)), max(1, round(gray.width * scale))


def overlay(gray: Image.Image, shown: np.ndarray) -> Image.Image:
    """An image under its map.

    Args:
        gray: mode L, any size.
        shown: float32 [h, w] in 0..1, NaN where no crop looked, as `chexnet.inference.cam.to_opacity` gives it.

    Returns:
        Mode RGB, w x h pixels.
    """
    height, width = shown.shape
    pixels = gray.resize((width, height), Image.Resampling.BICUBIC)
    unseen = np.isnan(shown)
    if unseen.any():
        pixels = Image.composite(pixels.point(lambda value: value * DIMMED), pixels, Image.fromarray(unseen))
    picture = _alpha_composite(pixels.convert("RGB"), COLOUR, np.where(unseen, 0, OPACITY * shown))
    return _alpha_composite(picture, LINE, _contours(shown))


def render_panel(gray: Image.Image, shown: np.ndarray, limit: float, title: str, disclaimer: str = "") -> Image.Image:
    """A picture of its own: a title, the image under its map, the scale, and a notice, if any.

    Args:
        gray: mode L, any size.
        shown: as for `blend`; it gives the image its size.
        limit: logit units that 1 stands for.
        title: a line above the image.
        notice: a line below it.

    Returns:
        Mode RGB.
    """
    panel = overlay(gray, shown)
    head, foot = 34, 26 if disclaimer else MARGIN
    title, disclaimer = fitted(title, 18, _MAX_TEXT), fitted(disclaimer, 14, _MAX_TEXT)
    text_width = int(max(font(18).getlength(title), font(14).getlength(disclaimer)))
    width = 2 * MARGIN + max(panel.width + MARGIN + SCALE_WIDTH, text_width)
    picture = Image.new("RGB", (width, panel.height + head + foot), BACKGROUND)
    picture.paste(panel, (MARGIN, head))
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, head // 2), title, TEXT, font(18), anchor="lm")
    draw.text((MARGIN, picture.height - foot // 2), disclaimer, TEXT, font(14), anchor="lm")
    draw_scale(picture, panel.width + 2 * MARGIN, head, panel.height, limit)
    return picture


def draw_scale(picture: Image.Image, left: int, top: int, height: int, limit: float) -> None:
    """Draws the colour bar up to `limit` logit units into a picture of mode RGB; it takes SCALE_WIDTH pixels."""
    picture.paste(_scale(height, limit), (left, top - _OVERHANG))


def fitted(text: str, size: int, width: int, end: bool = False) -> str:
    """Return a text that can be written as one line of so many pixels.

    What cannot be printed (line breaks, control characters, halves of characters) becomes U+FFFD.

    Args:
        text: from anywhere: a file's name, a class, a notice.
        size: of the font.
        width: pixels; of a longer text the rest is left out and `...` stands for it.
        end: keep the end of the text rather than its beginning.
    """
    text = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
    if len(text) <= width and font(size).getlength(text) <= width:  # no letter is narrower than a pixel
        return text

    def shortened(letters: int) -> str:
        return f"...{text[len(text) - letters :]}" if end else f"{text[:letters]}..."

    most = range(min(len(text), width))
    letters = bisect_right(most, width, key=lambda count: int(font(size).getlength(shortened(count)))) - 1
    return shortened(letters) if letters > 0 else ""


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The typeface of all pictures, that which Pillow brings; it has Latin letters only."""
    return ImageFont.load_default(size)


@cache
def _scale(height: int, limit: float) -> Image.Image:
    """The colour bar of so many pixels, _OVERHANG below the upper edge and above the lower one."""
    picture = Image.new("RGB", (SCALE_WIDTH, height + 2 * _OVERHANG), BACKGROUND)
    values = np.repeat(np.linspace(1, 0, height)[:, None], _BAR, axis=1)
    bar = _alpha_composite(Image.new("RGB", (_BAR, height), (_BAR_GRAY,) * 3), COLOUR, OPACITY * values)
    picture.paste(bar, (0, _OVERHANG))
    draw = ImageDraw.Draw(picture)
    for share in np.arange(0, 1 + STEP / 2, STEP):
        y = _OVERHANG + round((1 - share) * (height - 1))
        label = f"{share * limit:g}"
        if share in (0, 1):
            label, colour, anchor = f"{label} or {'more' if share else 'less'}", TEXT, "la" if share else "ld"
        else:
            colour, anchor = LINE, "lm"
        draw.line((0, y, _BAR + 4, y), colour, width=2)
        draw.text((_BAR + 8, y), label, TEXT, font(14), anchor=anchor)
    unit = Image.new("L", (height, 20))
    ImageDraw.Draw(unit).text((height // 2, 10), "logit of this place", 255, font(14), anchor="mm")
    picture.paste(TEXT, (SCALE_WIDTH - 20, _OVERHANG), unit.rotate(90, expand=True))
    return picture


def _contours(shown: np.ndarray) -> np.ndarray:
    """How opaque the contours are at each pixel, 0..1: lines 2 pixels wide, their edges smooth.

    How far a pixel is from the nearest contour, its value divided by its slope tells.
    """
    down, right = np.gradient(shown)
    level = STEP * np.clip(np.rint(shown / STEP), 1, round(1 / STEP) - 1)
    slope = np.sqrt(down * down + right * right)
    distance = np.abs(shown - level) / np.maximum(slope, np.float32(1e-6))
    opacity = np.clip(1.5 - distance, 0, 1)
    return np.where(np.isnan(opacity), 0, opacity)  # beside what no crop looked at there is no slope


def _alpha_composite(picture: Image.Image, colour: tuple[int, int, int], opacity: np.ndarray) -> Image.Image:
    """A picture under a colour of opacity [h, w] in 0..1."""
    mask = Image.fromarray(np.rint(255 * opacity).astype(np.uint8))
    return Image.composite(Image.new("RGB", picture.size, colour), picture, mask)
