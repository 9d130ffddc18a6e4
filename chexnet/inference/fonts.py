"""Fonts of the pictures: Pillow's own for Latin text, otherwise a font of this machine that has the characters.

Where no font has them, text is romanized with anyascii, with a warning.
"""

import re
import warnings
from functools import cache, lru_cache
from pathlib import Path

from PIL import ImageFont

from chexnet.errors import InputWarning

Face = ImageFont.FreeTypeFont | ImageFont.ImageFont

_SIZE = 14
"""Size at which glyphs are compared."""

_STYLED = re.compile("bold|black|heavy|light|thin|italic|oblique|mono|LastResort", re.IGNORECASE)
"""Parts of the file names of fonts that pictures do not use. LastResort has a box for every character."""


def drawable(text: str) -> str:
    """Return the text as the pictures can show it: unchanged if a font has all characters, otherwise romanized.

    Warns:
        InputWarning: characters were romanized, once for each set of characters.
    """
    missing = _missing(frozenset(text))
    if not missing:
        return text
    from anyascii import anyascii

    return "".join((anyascii(char) or "\N{REPLACEMENT CHARACTER}") if char in missing else char for char in text)


def face(text: str, size: int) -> Face:
    """Return a font for a text from `drawable`.

    Args:
        text: the text.
        size: font size.
    """
    return _load(font_file(text), size)


def font_file(text: str) -> str:
    """Return the file of the font for a text from `drawable`; an empty text stands for the default of the library."""
    return _path(frozenset(char for char in text if not _in_default(char)))


@cache
def _load(path: str, size: int) -> Face:
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def _missing(characters: frozenset[str]) -> frozenset[str]:
    """Return the characters that the best font does not have."""
    foreign = frozenset(char for char in characters if not _in_default(char))
    path = _path(foreign)
    missing = frozenset(char for char in foreign if not _has(path, char)) if path else foreign
    if missing:
        shown = "".join(sorted(missing))[:20]
        warnings.warn(
            f"no font of this machine has {shown!r}: pictures show these characters romanized. "
            "Install a font that has them; for Chinese, Noto Sans CJK (Debian: fonts-noto-cjk)",
            InputWarning,
            stacklevel=4,
        )
    return missing


@lru_cache(maxsize=4096)
def _path(foreign: frozenset[str]) -> str:
    """Return the file of the font that has most of the characters, or an empty text for Pillow's own."""
    if not foreign:
        return ""
    counts = {path: sum(_has(path, char) for char in foreign) for path in _system_fonts()}
    best = max(counts, key=lambda path: counts[path], default="")
    return best if counts.get(best) else ""


@cache
def _system_fonts() -> tuple[str, ...]:
    """Return the files of the machine's upright fonts, regular and sans serif before others, and matplotlib's own."""
    from matplotlib import font_manager, get_data_path

    found = [path for path in font_manager.findSystemFonts() if not _STYLED.search(Path(path).stem)]
    found.sort(key=lambda path: ("Sans" not in path, "Regular" not in path, "Noto" not in path, Path(path).name, path))
    return *found, str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))


@cache
def _charmap(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # removed since matplotlib listed it, or not a font
        return frozenset()


def _has(path: str, char: str) -> bool:
    return ord(char) in _charmap(path)


@cache
def _in_default(char: str) -> bool:
    """Return True if Pillow's own font has the character: its glyph is not the one of missing characters."""
    own = ImageFont.load_default(_SIZE)
    return char in " \N{REPLACEMENT CHARACTER}" or bytes(own.getmask(char)) != bytes(own.getmask("\uffff"))
