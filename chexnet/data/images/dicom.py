"""DICOM files: which are read, and how.

A radiograph is one frame of gray, MONOCHROME1 or MONOCHROME2, of 8 or 16 bits a sample, uncompressed or compressed as
JPEG, JPEG-LS, JPEG 2000 or RLE. `chexnet.data.images.grays` says how its samples become black to white.
"""

import io
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from PIL import Image

from chexnet.data.images.dicom_faults import INSTALL, header_fault, pixel_fault, syntax_fault
from chexnet.data.images.dicom_kinds import PREAMBLE, has_preamble, is_bare, read_start
from chexnet.data.images.dicom_samples import HeaderError, shown
from chexnet.data.images.grays import gray_of
from chexnet.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = (".dcm", ".dicom")

MAX_BYTES = 2**30
"""Of a file: ten times the pixels of the largest image that is read."""

MAX_READS = 30_000
"""Pieces that pydicom may ask for: an element takes one or two, some microseconds each, in however small a file."""

_FACTS = ("Modality", "ViewPosition")
_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils", "pylibjpeg", "pylibjpeg.utils")
_reading = threading.local()


def is_dicom(path: str | os.PathLike[str]) -> bool:
    """Whether a file is DICOM by its content, with or without a preamble, or at least by its name.

    Raises:
        OSError: it cannot be opened or read.
    """
    start = read_start(path)
    return has_preamble(start) or os.fspath(path).lower().endswith(SUFFIXES) or is_bare(start)


def open_dicom(path: str | os.PathLike[str]) -> Image.Image:
    """A DICOM radiograph as an image of mode L; its `info` has the header's Modality and ViewPosition, if given.

    Raises:
        InputError: pydicom or a decoder is missing; the file is damaged or encrypted, has no pixels, is not one frame
            of gray as described above, or its header contradicts itself or the pixels; or its size is not one that
            `chexnet.data.images` allows.
    """
    pydicom = _import_pydicom(path)
    start = read_start(path)
    if not has_preamble(start) and not is_bare(start):
        begins = f"it begins with {start[:16]!r}" if start else "it is empty"
        raise InputError(f"{path}: named as DICOM, but not a DICOM file (no DICM at byte {PREAMBLE}): {begins}")
    if (size := os.path.getsize(path)) > MAX_BYTES:
        raise InputError(f"{path}: a DICOM file of {size:,} bytes, expected at most {MAX_BYTES:,}")
    try:
        with _quiet():
            image, header = _decoded(pydicom, path)
    except InputError:
        raise
    except Exception as error:  # what pydicom and the decoders raise on a broken file is not a closed list
        if isinstance(error, OSError) and error.strerror:
            raise
        raise InputError(f"{path}: {_reason(error)}") from error
    image.info = {name: shown(header[name].value) for name in _FACTS if header.get(name)}
    return image


def _reason(error: Exception) -> str:
    """Why a file could not be decoded."""
    known: BaseException | None = error
    while known:  # pydicom hands some on as its own
        if isinstance(known, HeaderError):
            return f"a DICOM file {known}"
        known = known.__cause__
    if isinstance(error, RecursionError):
        return "a DICOM file whose sequences are nested too deeply"
    return f"cannot be decoded as a DICOM image: {shown(error, 400) or type(error).__name__}"


def _decoded(pydicom: Any, path: str | os.PathLike[str]) -> tuple[Image.Image, "Dataset"]:
    """The image and its header; nothing is decoded before the header is known to be one of a radiograph."""
    from pydicom.pixels import pixel_array

    if fault := syntax_fault(_syntax(path)):
        raise InputError(f"{path}: {fault}")
    with _CountedFile(path) as file:
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    if fault := header_fault(header):
        raise InputError(f"{path}: {fault}")
    with _CountedFile(path) as file:
        dataset = pydicom.dcmread(file, force=True)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = _guessed_syntax(dataset)
    if fault := pixel_fault(dataset):
        raise InputError(f"{path}: {fault}")
    raw = pixel_array(dataset, index=0, correct_unused_bits=False)  # `gray_of` knows which bits are used
    return Image.fromarray(gray_of(raw, dataset)), dataset


def _syntax(path: str | os.PathLike[str]) -> Any:
    """The Transfer Syntax UID that a file names, if it names one."""
    from pydicom.filereader import read_dataset

    with _CountedFile(path) as file:
        file.seek(PREAMBLE + 4 if has_preamble(read_start(path)) else 0)
        meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    return meta.get("TransferSyntaxUID")


def _guessed_syntax(dataset: "Dataset") -> str:
    """The syntax in which pydicom has read a file that names none."""
    from pydicom import uid

    implicit, little_endian = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little_endian else uid.ExplicitVRBigEndian


class _CountedFile(io.BufferedReader):
    """A file of which few pieces may be read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(io.FileIO(path))
        self._left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise HeaderError(f"of too many elements, expected at most some {MAX_READS // 2:,}")
        return super().read(size)


@contextmanager
def _quiet() -> Iterator[None]:
    """Has nothing of what pydicom and the decoders log in this thread shown: the reason is in the error."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_wanted)
    _reading.now = True
    try:
        yield
    finally:
        _reading.now = False


def _is_wanted(record: logging.LogRecord) -> bool:
    return not getattr(_reading, "now", False)


def _import_pydicom(path: str | os.PathLike[str]) -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise InputError(f"{path}: a DICOM file, which needs pydicom, and that is not installed: {INSTALL}") from error
    return pydicom
