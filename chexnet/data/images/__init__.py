"""Read image files of any supported format as 8-bit gray."""

import io
import os
from contextlib import nullcontext

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from chexnet.config import MAX_SAMPLE_BITS
from chexnet.data.images import dicom, dicom_kinds, libtiff, pnm
from chexnet.data.images.headers import StoredImage, inspect_bmp, inspect_jpeg, inspect_jpeg_2000, inspect_png
from chexnet.data.images.image_source import (
    MAX_PIXELS,
    MAX_RATIO,
    MIN_SIDE,
    ImageBytes,
    ImageSource,
    bytes_fault,
    size_fault,
)
from chexnet.data.images.sample_range import (
    SampleRange,
    add_sample_info,
    range_warning,
    sample_range,
    sample_warnings,
    to_eight_bits,
)
from chexnet.data.images.tiff import inspect_tiff, unpack_samples
from chexnet.errors import InputError

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "MAX_RATIO",
    "MIN_SIDE",
    "ImageBytes",
    "ImageSource",
    "SampleRange",
    "open_gray",
    "open_image",
    "range_warning",
    "read",
    "sample_range",
    "sample_warnings",
    "size_fault",
    "to_gray",
]

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
"""Supported formats besides DICOM. Other formats stay disabled: for some of them (EPS), Pillow runs the
content of the file in an external program."""

MAX_BYTES = 2**29
"""Maximum size of a file. MAX_PIXELS of 16-bit RGBA need less, and MAX_PIXELS of gray much less."""

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}
_SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B"}


def read(path: str | os.PathLike[str], sample_bits: int = MAX_SAMPLE_BITS) -> np.ndarray:
    """Read an image file as upright 8-bit gray.

    - Colors become luma (ITU-R 601, PIL's `convert("L")`). Three equal channels stay exactly as they are, so the gray
      pixels are bit for bit each channel of `convert("RGB")`. Transparency is ignored.
    - Samples are scaled to 0..255 from the range that the file declares: 16-bit ones from 0..65535, as in section
      13.12 of the PNG specification. They are inverted if 0 means white.
    - The EXIF orientation is applied.
    - A JPEG or TIFF may contain previews in addition to its image; they are ignored.
    - For DICOM files, see `chexnet.data.images.dicom`.

    Args:
        path: image file.
        sample_bits: bits per sample in use, 8 to 16. A file that declares more is scaled from
            0..2**sample_bits - 1. DICOM files ignore this, because their header defines the scaling.

    Returns:
        uint8 [H, W], 0 black to 255 white, at the file's own resolution.

    Raises:
        InputError: the file is missing or unreadable, is neither DICOM nor one of FORMATS, or does not decode; it
            contains several images; it has more than MAX_PIXELS, a side below MIN_SIDE or an aspect ratio above
            MAX_RATIO; its pixel format is not supported; a sample exceeds 2**sample_bits - 1; or color samples have
            more than `sample_bits` bits.
    """
    return np.asarray(open_gray(path, sample_bits))


def open_gray(path: str | os.PathLike[str], sample_bits: int = MAX_SAMPLE_BITS) -> Image.Image:
    """Read an image file as `read` does, but return a decoded PIL image of mode L, which can be resized directly."""
    return to_gray(open_image(path, sample_bits))


def open_image(source: ImageSource, sample_bits: int = MAX_SAMPLE_BITS) -> Image.Image:
    """Decode an image file to an upright PIL image of 8 bits per sample, gray or color.

    Takes the arguments of `read`, or the content of a file as `ImageBytes`, and raises the same errors. `to_gray`,
    `sample_range` and `sample_warnings` accept the image.
    """
    try:
        if dicom_kinds.is_dicom(source):
            return dicom.open_dicom(source)
        content = _content(source)
    except OSError as error:
        raise InputError(f"{source}: {_failure_reason(error)}") from error
    try:
        return _decode(content, sample_bits)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    except Exception as error:  # for a damaged file, Pillow's readers may raise any exception
        raise InputError(f"{source}: {_failure_reason(error, content)}") from error


def to_gray(image: Image.Image) -> Image.Image:
    """Convert an image from `open_image` to mode L."""
    return image if image.mode == "L" else image.convert("L")


def _content(source: ImageSource) -> bytes:
    """Return the content of a file, at most MAX_BYTES and one byte."""
    if isinstance(source, ImageBytes):
        return source.content
    with open(source, "rb") as file:
        return file.read(MAX_BYTES + 1)


def _decode(content: bytes, sample_bits: int) -> Image.Image:
    """Decode the content of a file for `open_image`."""
    if len(content) > MAX_BYTES:
        raise InputError(f"the file is larger than {MAX_BYTES:,} bytes, the maximum")
    if content.startswith(b"P") and (decoded := pnm.decode(content, sample_bits)):
        return add_sample_info(decoded)
    inspectors = (inspect_png, inspect_jpeg, inspect_jpeg_2000, inspect_tiff, inspect_bmp)
    stored = next((found for inspect in inspectors if (found := inspect(content))), StoredImage(content))
    try:
        # Given a path, Pillow 13 maps a TIFF into memory and swaps its sides if EXIF rotates it.
        with Image.open(io.BytesIO(stored.content), formats=FORMATS) as image:
            if image.format == "TIFF":
                image.seek(stored.page)
            if fault := _header_fault(image, stored):
                raise InputError(fault)
            with libtiff.raise_errors() if image.format == "TIFF" else nullcontext():
                image.load()
    except UnidentifiedImageError as error:
        if stored.description:
            raise InputError(f"{stored.description}, which cannot be decoded") from error
        raise
    ImageOps.exif_transpose(image, in_place=True)
    image.info = {}
    return add_sample_info(_to_eight_bits(image, stored, sample_bits), stored.warning)


def _to_eight_bits(image: Image.Image, stored: StoredImage, sample_bits: int) -> Image.Image:
    """Scale the samples that Pillow decoded from their declared range to 0..255."""
    white = 2**stored.bits - 1
    if stored.packed_width is not None:
        image = to_eight_bits(unpack_samples(np.asarray(image), stored.bits, stored.packed_width), white, sample_bits)
    elif image.mode in _SIXTEEN_BIT_MODES:
        # Pillow shifts the samples of JPEG 2000 to the highest bits.
        shift = 16 - stored.bits if image.format == "JPEG2000" else 0
        image = to_eight_bits(np.asarray(image) >> shift, white, sample_bits)
    elif stored.bits > sample_bits:
        raise InputError(
            f"{stored.bits}-bit color, or gray with transparency, which is decoded to 8 bits only; "
            f"--sample_bits {sample_bits} needs plain gray"
        )
    elif image.format == "JPEG2000" and image.mode == "L" and stored.bits < 8:
        image = to_eight_bits(np.asarray(image) >> (8 - stored.bits), white)
    return ImageOps.invert(to_gray(image)) if stored.inverted else image


def _header_fault(image: Image.Image, stored: StoredImage) -> str | None:
    """Describe the fault in the header of an image that is not decoded yet; None if there is none."""
    width = image.width if stored.packed_width is None else stored.packed_width
    if fault := size_fault(width, image.height) or bytes_fault(len(stored.content), image.width * image.height):
        return fault
    # Not n_frames: Pillow reads the whole file to count frames, which takes minutes for a malicious one.
    if image.format not in ("MPO", "TIFF") and getattr(image, "is_animated", False):
        return "several frames, expected a single image"
    if image.mode not in _EIGHT_BIT_MODES | _SIXTEEN_BIT_MODES:
        return f"pixels of mode {image.mode}, expected 8- or 16-bit gray or 8-bit color"
    return None


def _failure_reason(error: Exception, content: bytes = b"") -> str:
    """Describe why an image could not be opened or decoded."""
    if isinstance(error, FileNotFoundError):
        return "no such image file"
    if isinstance(error, UnidentifiedImageError):
        start = f"it begins with {content[:16]!r}" if content else "it is empty"
        reason = _decoder_error(content) or (f"{start}, expected an intact file of {', '.join(FORMATS)} or DICOM")
        return f"cannot be decoded as an image: {reason}"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"{str(error).partition(' exceeds')[0]}, expected at most {MAX_PIXELS:,} pixels"
    return f"cannot be decoded as an image: {str(error) or type(error).__name__}"


def _decoder_error(content: bytes) -> str:
    """Return the error of the Pillow decoder whose signature a file has; empty if no signature matches."""
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(content[:16]) is True:
            try:
                factory(io.BytesIO(content), "")
            except Exception as error:
                return f"{name}, {error}" if str(error) else ""
    return ""
