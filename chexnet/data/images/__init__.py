"""Any radiograph file -> 8-bit gray."""

import io
import os
from contextlib import nullcontext

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from chexnet.config import MAX_SAMPLE_BITS
from chexnet.data.images import dicom, libtiff, pnm
from chexnet.data.images.headers import Stored, stored_bmp, stored_jpeg, stored_jpeg_2000, stored_png
from chexnet.data.images.sample_range import (
    SampleRange,
    note,
    range_warning,
    remarks,
    sample_range,
    to_eight_bits,
)
from chexnet.data.images.size_limits import MAX_PIXELS, MAX_RATIO, MIN_SIDE, bytes_fault, size_fault
from chexnet.data.images.tiff import stored_tiff, unpacked
from chexnet.errors import InputError

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "MAX_RATIO",
    "MIN_SIDE",
    "SampleRange",
    "open_gray",
    "open_image",
    "range_warning",
    "read",
    "remarks",
    "sample_range",
    "size_fault",
    "to_gray",
]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
"""What radiographs come in besides DICOM. Pillow knows others, some of which (EPS) have another program run what
is in the file."""

MAX_BYTES = 2**29
"""Of a file: as many as MAX_PIXELS of colours and transparency in 16 bits take, and more than MAX_PIXELS of gray."""

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}
_SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B"}


def read(path: str | os.PathLike[str], sample_bits: int = MAX_SAMPLE_BITS) -> np.ndarray:
    """Reads an image file as gray, upright.

    Colour becomes luma (ITU-R 601, PIL's `convert("L")`), which leaves equal channels exactly as they are:
    the gray pixels are bit for bit each channel of `convert("RGB")`. Transparency is ignored. Samples are scaled from
    the range that the file declares to 0..255, 16-bit ones from 0..65535, as the PNG specification (section 13.12)
    says. Where 0 is white they are inverted. What EXIF says of the camera's orientation is obeyed. Of the JPEGs of
    some phones, which have a preview behind the photograph, the photograph is read, and so is of a TIFF with previews
    the image. `chexnet.data.images.dicom` says how DICOM's samples become gray.

    Args:
        path: the file.
        sample_bits: bits per sample that are in use, 8 to 16: a file that declares
            more is scaled from 0..2**sample_bits - 1. DICOM files are not: their header says how they are scaled.

    Returns:
        uint8 [H, W], 0 black to 255 white, in the file's own pixels.

    Raises:
        InputError: the file is missing, cannot be read, is neither DICOM nor one of FORMATS or does not decode; it
            holds several images; it has more than MAX_PIXELS, a side below MIN_SIDE or sides of more than 1 to
            MAX_RATIO; its pixels are stored in a way not listed above; it has a sample above 2**sample_bits - 1; or
            it declares more than `sample_bits` in colour.
    """
    return np.asarray(open_gray(path, sample_bits))


def open_gray(path: str | os.PathLike[str], sample_bits: int = MAX_SAMPLE_BITS) -> Image.Image:
    """What `read` gives, as a decoded PIL image of mode L: to resize it, no array needs to be made of it."""
    return to_gray(open_image(path, sample_bits))


def open_image(path: str | os.PathLike[str], sample_bits: int = MAX_SAMPLE_BITS) -> Image.Image:
    """A decoded, upright PIL image of 8 bits per sample that may have colours still, for `to_gray`.

    `sample_range` and `remarks` say more of it. Takes and raises what `read` does.
    """
    try:
        if dicom.is_dicom(path):
            return dicom.open_dicom(path)
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {_reason(error)}") from error
    try:
        return _decoded(content, sample_bits)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # what Pillow's readers raise on a broken file is not a closed list
        raise InputError(f"{path}: {_reason(error, content)}") from error


def to_gray(image: Image.Image) -> Image.Image:
    """An image that `open_image` gave -> mode L."""
    return image if image.mode == "L" else image.convert("L")


def _decoded(content: bytes, sample_bits: int) -> Image.Image:
    """What `open_image` gives for the content of a file."""
    if len(content) > MAX_BYTES:
        raise InputError(f"more than {MAX_BYTES:,} bytes, expected at most so many")
    if content.startswith(b"P") and (plain := pnm.read(content, sample_bits)):
        return note(plain, "")
    readers = (stored_png, stored_jpeg, stored_jpeg_2000, stored_tiff, stored_bmp)
    stored = next((found for reader in readers if (found := reader(content))), Stored(content))
    try:
        # As a file, Pillow 13 maps a TIFF into memory, and mistakes its sides where EXIF turns it.
        with Image.open(io.BytesIO(stored.content), formats=FORMATS) as image:
            if image.format == "TIFF":
                image.seek(stored.page)
            if fault := _fault(image, stored):
                raise InputError(fault)
            with libtiff.errors_raised() if image.format == "TIFF" else nullcontext():
                image.load()
    except UnidentifiedImageError as error:
        if stored.words:
            raise InputError(f"{stored.words}, which cannot be decoded") from error
        raise
    ImageOps.exif_transpose(image, in_place=True)
    image.info = {}
    return note(_eight_bits(image, stored, sample_bits), stored.remark)


def _eight_bits(image: Image.Image, stored: Stored, sample_bits: int) -> Image.Image:
    """What Pillow has decoded, with its samples' declared range as 0..255."""
    white = 2**stored.bits - 1
    if stored.packed_width is not None:
        image = to_eight_bits(unpacked(np.asarray(image), stored.bits, stored.packed_width), white, sample_bits)
    elif image.mode in _SIXTEEN_BIT_MODES:
        # Of JPEG 2000 Pillow moves the samples up to the highest bits.
        moved = 16 - stored.bits if image.format == "JPEG2000" else 0
        image = to_eight_bits(np.asarray(image) >> moved, white, sample_bits)
    elif stored.bits > sample_bits:
        raise InputError(
            f"{stored.bits}-bit colors or gray with transparency, of which 8 bits are kept; "
            f"expected plain gray with --sample_bits {sample_bits}"
        )
    elif image.format == "JPEG2000" and image.mode == "L" and stored.bits < 8:
        image = to_eight_bits(np.asarray(image) >> (8 - stored.bits), white)
    return ImageOps.invert(to_gray(image)) if stored.inverted else image


def _fault(image: Image.Image, stored: Stored) -> str | None:
    """What is wrong with an image by its header, before it is decoded."""
    width = image.width if stored.packed_width is None else stored.packed_width
    if fault := size_fault(width, image.height) or bytes_fault(len(stored.content), image.width * image.height):
        return fault
    # Not n_frames: counting them walks through the whole file, for minutes if it was made for that.
    if image.format not in ("MPO", "TIFF") and getattr(image, "is_animated", False):
        return "several frames, expected a single image"
    if image.mode not in _EIGHT_BIT_MODES | _SIXTEEN_BIT_MODES:
        return f"pixels of mode {image.mode}, expected 8- or 16-bit gray or 8-bit colour"
    return None


def _reason(error: Exception, content: bytes = b"") -> str:
    """Why an image could not be opened or decoded."""
    if isinstance(error, FileNotFoundError):
        return "no such image file"
    if isinstance(error, UnidentifiedImageError):
        found = f"it begins with {content[:16]!r}" if content else "it is empty"
        if why := _complaint(content):
            return f"cannot be decoded as an image: {why}"
        return f"cannot be decoded as an image: {found}, expected an intact file of {', '.join(FORMATS)} or DICOM"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"{str(error).partition(' exceeds')[0]}, expected at most {MAX_PIXELS:,} pixels"
    return f"cannot be decoded as an image: {str(error) or type(error).__name__}"


def _complaint(content: bytes) -> str:
    """What Pillow has against a file that begins as one of FORMATS does; empty if none does."""
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(content[:16]) is True:
            try:
                factory(io.BytesIO(content), "")
            except Exception as error:
                return f"{name}, {error}" if str(error) else ""
    return ""
