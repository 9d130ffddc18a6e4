"""Any radiograph file -> 8-bit gray."""

import os

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from chexnet.errors import InputError
from chexnet.images import dicom
from chexnet.images.limits import MAX_PIXELS, MAX_RATIO, MIN_SIDE, size_fault

__all__ = ["FORMATS", "MAX_PIXELS", "MAX_RATIO", "MIN_SIDE", "open_gray", "open_image", "read", "size_fault", "to_gray"]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
"""What radiographs come in besides DICOM. Pillow knows others, some of which (EPS) have another program run what
is in the file."""

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}
_SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B"}


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image file as gray, upright.

    Colour becomes luma (ITU-R 601, PIL's `convert("L")`), which leaves equal channels exactly as they are:
    the gray pixels are bit for bit each channel of `convert("RGB")`. Transparency is ignored. 16-bit
    samples are scaled from the full range 0..65535 to 0..255, as the PNG specification (section 13.12) says.
    What EXIF says of the camera's orientation is obeyed. Of the JPEGs of some phones, which have a preview behind
    the photograph, the photograph is read. `chexnet.images.dicom` says how DICOM's samples become gray.

    Returns:
        uint8 [H, W], 0 black to 255 white, in the file's own pixels.

    Raises:
        InputError: the file is missing, cannot be read, is neither DICOM nor one of FORMATS or does not decode; it
            holds several images; it has more than MAX_PIXELS, a side below MIN_SIDE or sides of more than 1 to
            MAX_RATIO; or its pixels are stored in a way not listed above.
    """
    return np.asarray(open_gray(path))


def open_gray(path: str | os.PathLike[str]) -> Image.Image:
    """What `read` gives, as a decoded PIL image of mode L: to resize it, no array needs to be made of it."""
    return to_gray(open_image(path))


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """A decoded, upright PIL image that may have colours still, for `to_gray`. Raises what `read` raises."""
    try:
        if dicom.is_dicom(path):
            return dicom.open_dicom(path)
        # Given the name, Pillow 13 maps a TIFF into memory, and mistakes its sides where EXIF turns it.
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            if fault := _fault(image):
                raise InputError(f"{path}: {fault}")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return image
    except InputError:
        raise
    except Exception as error:  # what Pillow's readers raise on a broken file is not a closed list
        raise InputError(f"{path}: {_reason(path, error)}") from error


def to_gray(image: Image.Image) -> Image.Image:
    """An image that `open_image` gave -> mode L."""
    if image.mode == "L":
        return image
    if image.mode in _EIGHT_BIT_MODES:
        image.info.pop("transparency", None)  # of palettes, which Pillow warns about when it is dropped
        return image.convert("L")
    scaled = np.rint(np.asarray(image, dtype=np.float32) / 257.0)
    return Image.fromarray(scaled.astype(np.uint8))


def _fault(image: Image.Image) -> str | None:
    """What is wrong with an image by its header, before it is decoded."""
    if fault := size_fault(*image.size):
        return fault
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
        return f"cannot be decoded as an image: {found}, expected an intact file of {', '.join(FORMATS)} or DICOM"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"{str(error).partition(' exceeds')[0]}, expected at most {MAX_PIXELS:,} pixels"
    return f"cannot be decoded as an image: {str(error) or type(error).__name__}"
