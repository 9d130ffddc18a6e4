"""DICOM files: which are read, and how.

A radiograph is one frame of gray, MONOCHROME1 or MONOCHROME2, of 8 or 16 bits a sample, uncompressed or compressed as
JPEG, JPEG-LS, JPEG 2000 or RLE. `chexnet.images.grays` says how its samples become black to white.
"""

import os
import struct
from typing import TYPE_CHECKING, Any

from PIL import Image

from chexnet.errors import InputError
from chexnet.images.grays import gray_of
from chexnet.images.limits import size_fault

if TYPE_CHECKING:
    from pydicom import Dataset

INSTALL = "pip install pydicom pylibjpeg pylibjpeg-openjpeg pylibjpeg-libjpeg"

PHOTOMETRIES = ("MONOCHROME1", "MONOCHROME2")

SUFFIXES = (".dcm", ".dicom")

_PREAMBLE = 128
_FACTS = ("Modality", "ViewPosition")


def is_dicom(path: str | os.PathLike[str]) -> bool:
    """Whether a file is DICOM by its content, or at least by its name.

    Raises:
        OSError: it cannot be opened or read.
    """
    with open(path, "rb") as file:
        start = file.read(_PREAMBLE + 4)
    return start[_PREAMBLE:] == b"DICM" or os.fspath(path).lower().endswith(SUFFIXES)


def open_dicom(path: str | os.PathLike[str]) -> Image.Image:
    """A DICOM radiograph as an image of mode L; its `info` has the header's Modality and ViewPosition, if given.

    Raises:
        InputError: pydicom or a decoder is missing; the file is damaged or encrypted, has no pixels, is not one frame
            of gray as described above; or its size is not one that `chexnet.images` allows.
    """
    pydicom = _import_pydicom(path)
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels import pixel_array

    try:
        syntax = pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID")
        if fault := _syntax_fault(syntax):
            raise InputError(f"{path}: {fault}")
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if fault := _header_fault(header):
            raise InputError(f"{path}: {fault}")
        dataset = pydicom.dcmread(path)
        if fault := _pixel_fault(dataset):
            raise InputError(f"{path}: {fault}")
        image = Image.fromarray(gray_of(pixel_array(dataset), dataset))
    except (InputError, OSError):
        raise
    except InvalidDicomError as error:
        raise InputError(f"{path}: {_no_preamble(path)}") from error
    except Exception as error:  # what pydicom and the decoders raise on a broken file is not a closed list
        what = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be decoded as a DICOM image: {what}") from error
    image.info = {name: str(header[name].value) for name in _FACTS if header.get(name)}
    return image


def _import_pydicom(path: str | os.PathLike[str]) -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise InputError(f"{path}: a DICOM file, which needs pydicom, and that is not installed: {INSTALL}") from error
    return pydicom


def _syntax_fault(syntax: Any) -> str | None:
    """What is wrong with the way a file is encoded, before any of it is."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if not syntax:
        return "a DICOM file that does not say how it is encoded (its Transfer Syntax UID is missing)"
    expected = "expected it uncompressed or as JPEG, JPEG-LS, JPEG 2000 or RLE"
    if syntax == DeflatedExplicitVRLittleEndian:  # its size in memory is not known until it is there
        return f"a deflated DICOM file, {expected}"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return f"a DICOM file encoded as {syntax.name}, {expected}"
    if not decoder.is_available:
        return f"compressed as {syntax.name}, whose decoder is not installed: {INSTALL}"
    return None


def _header_fault(header: "Dataset") -> str | None:
    """What is wrong with an image by its header, before pixels are read."""
    if "EncryptedAttributesSequence" in header and "Rows" not in header:
        return "an encrypted DICOM file, expected a readable one: have it exported without encryption"
    kind = header.get("SOPClassUID")
    if not header.get("Rows") or not header.get("Columns"):
        return f"a DICOM file without pixels ({kind.name if kind else 'of no stated kind'}), expected a radiograph"
    if fault := size_fault(header.Columns, header.Rows):
        return fault
    if int(header.get("NumberOfFrames") or 1) > 1:
        return f"a DICOM file of {header.NumberOfFrames} frames, expected a single image"
    photometry, samples = header.get("PhotometricInterpretation"), header.get("SamplesPerPixel", 1)
    if photometry not in PHOTOMETRIES or samples != 1:
        found = f"{photometry} pixels" + (f" in {samples} samples" if photometry in PHOTOMETRIES else "")
        return f"a DICOM file of {found}, expected gray ones: {' or '.join(PHOTOMETRIES)}"
    if header.get("BitsAllocated") not in (8, 16):
        return f"a DICOM file with {header.get('BitsAllocated')} bits a sample, expected 8 or 16"
    return None


def _pixel_fault(dataset: "Dataset") -> str | None:
    """What is wrong with pixel data before they are decoded."""
    from pydicom.encaps import get_frame

    if not dataset.get("PixelData"):
        return "a DICOM file without pixels, or cut off before them; expected a whole radiograph"
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return None
    size = _codestream_size(get_frame(dataset.PixelData, 0, number_of_frames=1))
    if size not in (None, (dataset.Columns, dataset.Rows)):
        return (
            f"a DICOM file of {dataset.Columns} x {dataset.Rows} pixels by its header, "
            "but {} x {} by its compressed data".format(*size)
        )
    return None


def _codestream_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG, JPEG-LS or JPEG 2000 stream announces; None for RLE, which has none.

    Decoders make room for this size, whatever the DICOM header says.
    """
    if (start := data[:512].find(b"\xff\x4f\xff\x51")) >= 0:  # JPEG 2000, T.800 A.5.1: extent of the grid, its offset
        right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
        return right - left, bottom - top
    if data[:2] != b"\xff\xd8":
        return None
    place = 2
    while place + 9 <= len(data):  # JPEG, T.81 B.2: markers, each with its length, until a frame begins
        marker, length, _, height, width = struct.unpack_from(">HHBHH", data, place)
        if marker == 0xFFF7 or (0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC)):
            return width, height
        place += 1 if marker == 0xFFFF else 2 + length  # 0xFF may fill
    return None


def _no_preamble(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        start = file.read(16)
    found = f"it begins with {start!r}" if start else "it is empty"
    return f"named as DICOM, but not a DICOM file (no DICM at byte {_PREAMBLE}): {found}"
