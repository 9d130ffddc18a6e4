"""Any radiograph file -> 8-bit gray."""

import os
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from chexnet.errors import InputError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
"""What radiographs come in. Pillow knows others, some of which (EPS) have another program run what is in the file."""

MAX_PIXELS = 50_000_000
"""Twice the largest digital chest radiographs, some 5000 x 5000. A file of a few kilobytes can announce a
thousand times as many (a decompression bomb)."""

MIN_SIDE = 16
"""Pixels. Nothing can be seen in less: it is a placeholder, or a file gone wrong."""

MAX_RATIO = 10
"""Longer to shorter side, three times that of a whole spine. Resizing the shorter side makes a narrow strip of
few pixels huge."""

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}
_SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B"}

# `open_gray` has a limit of its own. Last in the list, so that a filter that somebody chose goes first; once and
# for all, because warnings.catch_warnings in a thread changes the filters of all others.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, append=True)


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image file as gray.

    Colour becomes luma (ITU-R 601, PIL's `convert("L")`), which leaves equal channels exactly as they are:
    the gray pixels are bit for bit each channel of `convert("RGB")`. Transparency is ignored. 16-bit
    samples are scaled from the full range 0..65535 to 0..255, as the PNG specification (section 13.12) says.
    Of the JPEGs of some phones, which have a preview behind the photograph, the photograph is read.

    Returns:
        uint8 [H, W], 0 black to 255 white, in the file's own pixels.

    Raises:
        InputError: the file is missing, cannot be read, is none of FORMATS or does not decode; it holds several
            images; it has more than MAX_PIXELS, a side below MIN_SIDE or sides of more than 1 to MAX_RATIO; or
            its pixels are stored in a way not listed above.
    """
    return np.asarray(open_gray(path))


def open_gray(path: str | os.PathLike[str]) -> Image.Image:
    """What `read` gives, as a decoded PIL image of mode L: to resize it, no array needs to be made of it."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if fault := _fault(image):
                raise InputError(f"{path}: {fault}")
            if image.mode == "L":
                image.load()
                return image
            if image.mode in _EIGHT_BIT_MODES:
                image.info.pop("transparency", None)  # of palettes, which Pillow warns about when it is dropped
                return image.convert("L")
            scaled = np.rint(np.asarray(image, dtype=np.float32) / 257.0)
            return Image.fromarray(scaled.astype(np.uint8))
    except InputError:
        raise
    except Exception as error:  # what Pillow's readers raise on a broken file is not a closed list
        raise InputError(f"{path}: {_reason(path, error)}") from error


def _fault(image: Image.Image) -> str | None:
    """What is wrong with an image by its header, before it is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        return f"{width} x {height} pixels, expected at most {MAX_PIXELS:,} in all"
    if min(width, height) < MIN_SIDE:
        return f"{width} x {height} pixels, expected at least {MIN_SIDE} x {MIN_SIDE}"
    if max(width, height) > MAX_RATIO * min(width, height):
        return f"{width} x {height} pixels, expected one side at most {MAX_RATIO} times the other"
    # Not n_frames: counting them walks through the whole file, for minutes if it was made for that.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        return "several frames, expected a single image"
    if image.mode not in _EIGHT_BIT_MODES | _SIXTEEN_BIT_MODES:
        return f"pixels of mode {image.mode}, expected 8- or 16-bit gray or 8-bit colour"
    return None


def _reason(path: str | os.PathLike[str], error: Exception) -> str:
    """Why an image could not be opened or decoded."""
    if isinstance(error, FileNotFoundError):
        return "no such image file"
    if isinstance(error, UnidentifiedImageError):
        with open(path, "rb") as file:
            start = file.read(16)
        found = f"it begins with {start!r}" if start else "it is empty"
        return f"cannot be decoded as an image: {found}, expected an intact file of {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"{str(error).partition(' exceeds')[0]}, expected at most {MAX_PIXELS:,} pixels"
    return f"cannot be decoded as an image: {str(error) or type(error).__name__}"
