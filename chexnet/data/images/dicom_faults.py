"""What keeps a DICOM file from being read as a radiograph, found before its pixels are decoded."""

from typing import TYPE_CHECKING, Any

from chexnet.data.images.codestreams import MAX_SCANS, announced, rle_fits, scans
from chexnet.data.images.dicom_samples import shown
from chexnet.data.images.size_limits import size_fault

if TYPE_CHECKING:
    from pydicom import Dataset

INSTALL = "pip install pydicom pylibjpeg pylibjpeg-openjpeg pylibjpeg-libjpeg"

PHOTOMETRIES = ("MONOCHROME1", "MONOCHROME2")

SQUARE = 1.02
"""Longer to shorter side of a pixel, at most."""

BLOCK = 512
"""Bytes of zeros that may follow the pixels, however small the image."""

MAX_ITEMS = 5_000
"""Pieces of compressed pixels. Some programs cut them every 64 KiB."""

MAX_TABLE = 2**20
"""Bytes of a sequence of lookup tables, of which one has 128 KiB at most."""

_SPACINGS = ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def syntax_fault(syntax: Any) -> str | None:
    """What is wrong with the way a file is encoded, before any of it is read. Without a syntax nothing is."""
    from pydicom import uid
    from pydicom.pixels import get_decoder

    if not syntax:
        return None
    expected = "expected it uncompressed or as JPEG, JPEG-LS, JPEG 2000 or RLE"
    if syntax == uid.DeflatedExplicitVRLittleEndian:  # its size in memory is not known until it is there
        return f"a deflated DICOM file, {expected}"
    native = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
    jpeg = (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes, *uid.JPEG2000TransferSyntaxes)
    if syntax not in (*native, *jpeg, uid.HTJ2K, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.RLELossless):
        return f"a DICOM file encoded as {shown(getattr(syntax, 'name', syntax))}, {expected}"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return f"a DICOM file encoded as {syntax.name}, {expected}"
    if not decoder.is_available:
        return f"compressed as {syntax.name}, whose decoder is not installed: {INSTALL}"
    return None


def header_fault(header: "Dataset") -> str | None:
    """What is wrong with an image by its header, before pixels are read."""
    if "EncryptedAttributesSequence" in header and "Rows" not in header:
        return "an encrypted DICOM file, expected a readable one: have it exported without encryption"
    kind = header.get("SOPClassUID")
    if not header.get("Rows") or not header.get("Columns"):
        return (
            f"a DICOM file without an image ({shown(kind.name) if kind else 'of no stated kind'}): no Rows or Columns"
        )
    if not isinstance(header.Rows, int) or not isinstance(header.Columns, int):
        return f"a DICOM file of {shown(header.Columns)} x {shown(header.Rows)} pixels, expected two whole numbers"
    if fault := size_fault(header.Columns, header.Rows):
        return fault
    if (frames := header.get("NumberOfFrames")) not in (None, "", 0, 1):
        return f"a DICOM file of {shown(frames)} frames, expected a single image"
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        if name in header and (size := getattr(header.get_item(name), "length", 0)) > MAX_TABLE and size < 2**32 - 1:
            return f"a DICOM file with a {name} of {size:,} bytes, expected at most {MAX_TABLE:,}"
    return _photometric_fault(header) or _depth_fault(header) or _shape_fault(header)


def _photometric_fault(header: "Dataset") -> str | None:
    expected = f"expected {' or '.join(PHOTOMETRIES)}"
    photometric, samples = header.get("PhotometricInterpretation"), header.get("SamplesPerPixel")
    if not photometric:
        return f"a DICOM file that does not say what its pixels mean (no Photometric Interpretation), {expected}"
    if photometric not in PHOTOMETRIES:
        return f"a DICOM file of {shown(photometric)} pixels, {expected}"
    if samples not in (None, 1):
        return f"a DICOM file of {photometric} pixels in {shown(samples)} samples, expected one"
    # Some viewers go by the one, some by the other: what is white for these is black for those.
    presentation, fitting = header.get("PresentationLUTShape"), PHOTOMETRIES.index(photometric)
    if presentation in ("INVERSE", "IDENTITY") and presentation != ("INVERSE", "IDENTITY")[fitting]:
        return f"a DICOM file of {photometric} pixels with Presentation LUT Shape {presentation}, which contradict"
    return None


def _depth_fault(header: "Dataset") -> str | None:
    allocated, stored = header.get("BitsAllocated"), header.get("BitsStored")
    if allocated not in (8, 16):
        return f"a DICOM file with {shown(allocated)} bits allocated for a sample, expected 8 or 16"
    if not isinstance(stored, int) or not 1 <= stored <= allocated:
        return f"a DICOM file with {shown(stored)} bits stored of {allocated} allocated"
    high = header.get("HighBit")
    if high is not None and (not isinstance(high, int) or not stored - 1 <= high < allocated):
        return f"a DICOM file of {stored} bits a sample of {allocated} with high bit {shown(high)}"
    if header.get("PixelRepresentation") not in (0, 1):
        return "a DICOM file that does not say whether its samples are signed (Pixel Representation), expected 0 or 1"
    return None


def _shape_fault(header: "Dataset") -> str | None:
    """What is wrong with the sides of a pixel, if they are given."""
    for name in _SPACINGS:
        try:
            sides = [float(side) for side in header.get(name) or ()]
        except (TypeError, ValueError):
            continue  # it is not used
        if len(sides) == 2 and min(sides) > 0 and not max(sides) <= SQUARE * min(sides):
            return f"a DICOM file with {name} {sides[0]:g} by {sides[1]:g}, expected square pixels"
    return None


def pixel_fault(dataset: "Dataset") -> str | None:
    """What is wrong with pixel data before they are decoded."""
    from pydicom.encaps import get_frame
    from pydicom.uid import RLELossless

    data, syntax = dataset.get("PixelData"), dataset.file_meta.TransferSyntaxUID
    if not data:
        return "a DICOM file without pixels, or cut off before them; expected a whole radiograph"
    pixels, size = dataset.Rows * dataset.Columns, dataset.BitsAllocated // 8
    if not syntax.is_encapsulated:
        if dataset["PixelData"].is_undefined_length:
            return "a DICOM file of compressed pixels that does not say how they are"
        # Zeros may fill a block. A row or a column more means that the header is not of these pixels.
        extra = len(data) - pixels * size
        filled = extra <= BLOCK and not any(data[pixels * size :])
        if extra < 0 or (extra >= max(2, min(dataset.Rows, dataset.Columns) * size) and not filled):
            return (
                f"a DICOM file with {len(data):,} bytes of pixels, expected {pixels * size:,} "
                f"for {dataset.Columns} x {dataset.Rows} of {dataset.BitsAllocated} bits"
            )
        return None
    if (items := data.count(b"\xfe\xff\x00\xe0")) > MAX_ITEMS:
        return f"a DICOM file whose pixels are in {items:,} pieces, expected at most {MAX_ITEMS:,}"
    frame = get_frame(data, 0, number_of_frames=1)
    if syntax == RLELossless:
        return None if rle_fits(frame, pixels) else "a DICOM file whose RLE data hold more than its pixels"
    return _codestream_fault(frame, dataset)


def _codestream_fault(frame: bytes, dataset: "Dataset") -> str | None:
    if not (stream := announced(frame)):
        return None
    by_header = f"a DICOM file of {dataset.Columns} x {dataset.Rows} pixels by its header, but"
    if (stream.width, stream.height) != (dataset.Columns, dataset.Rows):
        return f"{by_header} {stream.width} x {stream.height} by its compressed data"
    if stream.channels != 1:
        return f"{by_header} of {stream.channels} channels by its compressed data, expected one"
    if stream.lossy and stream.bits < min(dataset.BitsStored, 12):
        return f"a DICOM file of {dataset.BitsStored} bits by its header, but {stream.bits} by its compressed data"
    if (number := scans(frame)) > MAX_SCANS:
        return f"a DICOM file whose JPEG has {number:,} scans, expected at most {MAX_SCANS}"
    return None
