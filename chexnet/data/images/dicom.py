"""Read DICOM radiographs.

Supported files have one frame of gray, MONOCHROME1 or MONOCHROME2, with 8 or 16 bits allocated per sample. They are
uncompressed or compressed as JPEG, JPEG-LS, JPEG 2000 or RLE. `chexnet.data.images.dicom_gray` converts their samples
to gray levels.
"""

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from chexnet.data.images.dicom_faults import (
    INSTALL,
    header_fault,
    is_jpeg_of_eight_bits,
    pixel_fault,
    syntax_fault,
)
from chexnet.data.images.dicom_gray import to_gray_levels
from chexnet.data.images.dicom_kinds import PREAMBLE, has_preamble, is_bare, read_start
from chexnet.data.images.dicom_samples import HeaderError, to_one_line
from chexnet.data.images.image_source import ImageSource, open_source, source_size
from chexnet.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset


MAX_BYTES = 2**30
"""Maximum size of a file, ten times the pixels of the largest image that is accepted."""

MAX_READS = 30_000
"""Maximum number of reads by pydicom. An element takes one or two, of some microseconds each."""

_INFO_KEYS = ("Modality", "ViewPosition")
_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils", "pylibjpeg", "pylibjpeg.utils")
_thread = threading.local()


def open_dicom(source: ImageSource) -> Image.Image:
    """Decode a DICOM radiograph to an image of mode L.

    The `info` of the image has the Modality and ViewPosition of the header, if present.

    Raises:
        InputError: pydicom or a decoder is missing; the file is damaged or encrypted, has no pixels, or is not one of
            the supported files above; its header contradicts itself or the pixels; or its size is outside the limits
            of `chexnet.data.images`.
    """
    pydicom = _import_pydicom(source)
    start = read_start(source)
    if not has_preamble(start) and not is_bare(start):
        content = f"it begins with {start[:16]!r}" if start else "it is empty"
        raise InputError(f"{source}: named as DICOM, but not a DICOM file (no DICM at byte {PREAMBLE}): {content}")
    if (size := source_size(source)) > MAX_BYTES:
        raise InputError(f"{source}: a DICOM file of {size:,} bytes, expected at most {MAX_BYTES:,}")
    try:
        with silence_loggers():
            image, header = _decode(pydicom, source)
            image.info = {name: to_one_line(header[name].value) for name in _INFO_KEYS if header.get(name)}
    except InputError:
        raise
    except Exception as error:  # for a damaged file, pydicom and the decoders may raise any exception
        if isinstance(error, OSError) and error.strerror:
            raise
        raise InputError(f"{source}: {_failure_reason(error)}") from error
    return image


def read_header(source: ImageSource) -> "Dataset":
    """Read all elements before the pixels of a file that `open_dicom` accepts.

    Raises:
        InputError: the file has changed, so that it cannot be read any more.
    """
    pydicom = _import_pydicom(source)
    try:
        with silence_loggers(), _BoundedReader(source) as file:
            return pydicom.dcmread(file, stop_before_pixels=True, force=True)
    except Exception as error:  # as in `open_dicom`
        raise InputError(f"{source}: {_failure_reason(error)}") from error


def _failure_reason(error: Exception) -> str:
    """Describe why a file could not be decoded."""
    cause: BaseException | None = error
    while cause:  # pydicom wraps some errors in its own
        if isinstance(cause, HeaderError):
            return f"a DICOM file {cause}"
        cause = cause.__cause__
    if isinstance(error, RecursionError):
        return "a DICOM file whose sequences are nested too deeply"
    return f"cannot be decoded as a DICOM image: {to_one_line(error, 400) or type(error).__name__}"


def _decode(pydicom: Any, source: ImageSource) -> tuple[Image.Image, "Dataset"]:
    """Decode a file and return its image and header. The header is checked before any pixel is decoded."""
    from pydicom.pixels import pixel_array

    if fault := syntax_fault(_read_syntax(source)):
        raise InputError(f"{source}: {fault}")
    with _BoundedReader(source) as file:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    if fault := header_fault(header):
        raise InputError(f"{source}: {fault}")
    with _BoundedReader(source) as file:
        dataset = pydicom.dcmread(file, force=True)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = _infer_syntax(dataset)
    if fault := pixel_fault(dataset):
        raise InputError(f"{source}: {fault}")
    plugin = "pillow" if is_jpeg_of_eight_bits(dataset) else ""
    # `to_gray_levels` handles unused bits.
    raw = pixel_array(dataset, index=0, correct_unused_bits=False, decoding_plugin=plugin)
    return Image.fromarray(to_gray_levels(raw, dataset)), dataset


def _read_syntax(source: ImageSource) -> Any:
    """Return the Transfer Syntax UID of a file, None if it has none."""
    from pydicom.filereader import read_dataset

    with _BoundedReader(source) as file:
        file.seek(PREAMBLE + 4 if has_preamble(read_start(source)) else 0)
        meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    return meta.get("TransferSyntaxUID")


def _infer_syntax(dataset: "Dataset") -> str:
    """Return the syntax that pydicom detected in a file without a Transfer Syntax UID."""
    from pydicom import uid

    implicit, little_endian = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little_endian else uid.ExplicitVRBigEndian


class _BoundedReader(io.BufferedReader):
    """A file that raises `HeaderError` after MAX_READS reads."""

    def __init__(self, source: ImageSource) -> None:
        super().__init__(cast(io.RawIOBase, open_source(source)))
        self._left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise HeaderError(f"of too many elements, expected at most about {MAX_READS // 2:,}")
        return super().read(size)


@contextmanager
def silence_loggers() -> Iterator[None]:
    """Drop log messages of pydicom and the decoders in this thread, because the raised error has the reason."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_not_silenced)
    outer = getattr(_thread, "silenced", False)
    _thread.silenced = True
    try:
        yield
    finally:
        _thread.silenced = outer


def _is_not_silenced(record: logging.LogRecord) -> bool:
    return not getattr(_thread, "silenced", False)


def _import_pydicom(source: ImageSource) -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise InputError(f"{source}: DICOM files need pydicom, which is not installed: {INSTALL}") from error
    return pydicom
