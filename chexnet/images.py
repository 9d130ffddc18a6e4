"""Any radiograph file -> 8-bit gray."""

import os

import numpy as np
from PIL import Image

from chexnet.errors import InputError

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}
_SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B"}


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image file as gray.

    Colour becomes luma (ITU-R 601, PIL's `convert("L")`), which leaves equal channels exactly as they are:
    the gray pixels are bit for bit each channel of `convert("RGB")`. Transparency is ignored. 16-bit
    samples are scaled from the full range 0..65535 to 0..255, as the PNG specification (section 13.12) says.

    Returns:
        uint8 [H, W], 0 black to 255 white, in the file's own pixels.

    Raises:
        InputError: the file is missing, does not decode, or stores its pixels in a way not listed above.
    """
    return np.asarray(open_gray(path))


def open_gray(path: str | os.PathLike[str]) -> Image.Image:
    """What `read` gives, as a decoded PIL image of mode L: to resize it, no array needs to be made of it."""
    try:
        with Image.open(path) as image:
            if image.mode == "L":
                image.load()
                return image
            if image.mode in _EIGHT_BIT_MODES:
                return image.convert("L")
            if image.mode in _SIXTEEN_BIT_MODES:
                scaled = np.rint(np.asarray(image, dtype=np.float32) / 257.0)
                return Image.fromarray(scaled.astype(np.uint8))
            mode = image.mode
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such image file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be decoded as an image: {error}") from error
    raise InputError(f"{path}: pixels of mode {mode}, expected 8- or 16-bit gray or 8-bit colour")
