"""Find the reason to refuse a DICOM file before its pixels are decoded.

The functions return a message, or None if the file is accepted.
"""

from typing import TYPE_CHECKING, Any

from chexnet.data.images.codestreams import MAX_SCANS, count_scans, read_codestream_header, rle_fits
from chexnet.data.images.dicom_samples import to_one_line
from chexnet.data.images.image_source import size_fault

if TYPE_CHECKING:
    from pydicom import Dataset

INSTALL = "pip install pydicom pylibjpeg pylibjpeg-openjpeg pylibjpeg-libjpeg"

PHOTOMETRIC_INTERPRETATIONS = ("MONOCHROME1", "MONOCHROME2")

MAX_PIXEL_RATIO = 1.02
"""Maximum ratio of the longer to the shorter side of a pixel."""

MAX_FILL = 512
"""Maximum number of zero bytes after the pixels, for an image of any size."""

MAX_FRAGMENTS = 5_000
"""Maximum number of fragments of compressed pixels. Some programs write fragments of 64 KiB."""

MAX_LUT_BYTES = 2**20
"""Maximum size of a sequence of lookup tables. One table has at most 128 KiB."""

_SPACINGS = ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def syntax_fault(syntax: Any) -> str | None:
    """Check the transfer syntax of a file, before its header is read. A file without a syntax is accepted."""
    from pydicom import uid
    from pydicom.pixels import get_decoder

    if not syntax:
        return None
    expected = "expected uncompressed, JPEG, JPEG-LS, JPEG 2000 or RLE"
    if syntax == uid.DeflatedExplicitVRLittleEndian:  # its decompressed size is unknown in advance
        return f"a deflated DICOM file, {expected}"
    native = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
    jpeg = (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes, *uid.JPEG2000TransferSyntaxes)
    if syntax not in (*native, *jpeg, uid.HTJ2K, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.RLELossless):
        return f"a DICOM file encoded as {to_one_line(getattr(syntax, 'name', syntax))}, {expected}"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return f"a DICOM file encoded as {syntax.name}, {expected}"
    if not decoder.is_available:
        return f"compressed as {syntax.name}, whose decoder is not installed: {INSTALL}"
    return None


def header_fault(header: "Dataset") -> str | None:
    """Check the header of an image, before its pixels are read."""
    if "EncryptedAttributesSequence" in header and "Rows" not in header:
        return "an encrypted DICOM file; export it without encryption"
    sop_class = header.get("SOPClassUID")
    if not header.get("Rows") or not header.get("Columns"):
        kind = to_one_line(sop_class.name) if sop_class else "unknown SOP class"
        return f"a DICOM file without an image ({kind}): no Rows or Columns"
    if not isinstance(header.Rows, int) or not isinstance(header.Columns, int):
        size = f"{to_one_line(header.Columns)} x {to_one_line(header.Rows)}"
        return f"a DICOM file of {size} pixels, expected two integers"
    if fault := size_fault(header.Columns, header.Rows):
        return fault
    if (frames := header.get("NumberOfFrames")) not in (None, "", 0, 1):
        return f"a DICOM file of {to_one_line(frames)} frames, expected a single image"
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        length = getattr(header.get_item(name), "length", 0) if name in header else 0
        if MAX_LUT_BYTES < length < 2**32 - 1:  # 2**32 - 1 means an undefined length
            return f"a DICOM file with a {name} of {length:,} bytes, expected at most {MAX_LUT_BYTES:,}"
    return _photometric_fault(header) or _depth_fault(header) or _shape_fault(header)


def _photometric_fault(header: "Dataset") -> str | None:
    expected = f"expected {' or '.join(PHOTOMETRIC_INTERPRETATIONS)}"
    photometric, samples = header.get("PhotometricInterpretation"), header.get("SamplesPerPixel")
    if not photometric:
        return f"a DICOM file without Photometric Interpretation, {expected}"
    if photometric not in PHOTOMETRIC_INTERPRETATIONS:
        return f"a DICOM file of {to_one_line(photometric)} pixels, {expected}"
    if samples not in (None, 1):
        return f"a DICOM file of {photometric} pixels with {to_one_line(samples)} samples per pixel, expected 1"
    # Some viewers follow one element and some the other, which invert the image differently.
    shape, consistent = (
        header.get("PresentationLUTShape"),
        ("INVERSE", "IDENTITY")[PHOTOMETRIC_INTERPRETATIONS.index(photometric)],
    )
    if shape in ("INVERSE", "IDENTITY") and shape != consistent:
        return f"a DICOM file of {photometric} pixels with the contradicting Presentation LUT Shape {shape}"
    return None


def _depth_fault(header: "Dataset") -> str | None:
    allocated, stored = header.get("BitsAllocated"), header.get("BitsStored")
    if allocated not in (8, 16):
        return f"a DICOM file with {to_one_line(allocated)} bits allocated per sample, expected 8 or 16"
    if not isinstance(stored, int) or not 1 <= stored <= allocated:
        return f"a DICOM file with {to_one_line(stored)} bits stored of {allocated} allocated"
    high = header.get("HighBit")
    if high is not None and (not isinstance(high, int) or not stored - 1 <= high < allocated):
        return f"a DICOM file with high bit {to_one_line(high)}, for {stored} bits stored of {allocated} allocated"
    if header.get("PixelRepresentation") not in (0, 1):
        representation = to_one_line(header.get("PixelRepresentation"))
        return f"a DICOM file with Pixel Representation {representation}, expected 0 (unsigned) or 1 (signed)"
    return None


def _shape_fault(header: "Dataset") -> str | None:
    """Check that pixels are square, if the header gives their sides."""
    for name in _SPACINGS:
        try:
            sides = [float(side) for side in header.get(name) or ()]
        except (TypeError, ValueError):
            continue  # malformed, but not used otherwise
        if len(sides) == 2 and min(sides) > 0 and not max(sides) <= MAX_PIXEL_RATIO * min(sides):
            return f"a DICOM file with {name} {sides[0]:g} by {sides[1]:g}, expected square pixels"
    return None


def pixel_fault(dataset: "Dataset") -> str | None:
    """Check pixel data before they are decoded."""
    from pydicom.encaps import get_frame
    from pydicom.uid import RLELossless

    data, syntax = dataset.get("PixelData"), dataset.file_meta.TransferSyntaxUID
    if not data:
        return "a DICOM file without pixels, or truncated before them"
    pixels, size = dataset.Rows * dataset.Columns, dataset.BitsAllocated // 8
    if not syntax.is_encapsulated:
        if dataset["PixelData"].is_undefined_length:
            return "a DICOM file of compressed pixels with an uncompressed or missing Transfer Syntax"
        # Zeros may pad the data. An extra row or column means that the header does not describe these pixels.
        extra = len(data) - pixels * size
        padded = extra <= MAX_FILL and not any(data[pixels * size :])
        if extra < 0 or (extra >= max(2, min(dataset.Rows, dataset.Columns) * size) and not padded):
            return (
                f"a DICOM file with {len(data):,} bytes of pixels, expected {pixels * size:,} "
                f"for {dataset.Columns} x {dataset.Rows} of {dataset.BitsAllocated} bits"
            )
        return None
    if (fragments := data.count(b"\xfe\xff\x00\xe0")) > MAX_FRAGMENTS:
        return f"a DICOM file whose pixels are in {fragments:,} fragments, expected at most {MAX_FRAGMENTS:,}"
    frame = get_frame(data, 0, number_of_frames=1)
    if syntax == RLELossless:
        return None if rle_fits(frame, pixels) else "a DICOM file whose RLE data do not fit its pixels"
    return _codestream_fault(frame, dataset)


def _codestream_fault(frame: bytes, dataset: "Dataset") -> str | None:
    """Compare the header of compressed pixels with that of the file."""
    if not (stream := read_codestream_header(frame)):
        return None
    if (stream.width, stream.height) != (dataset.Columns, dataset.Rows):
        return (
            f"a DICOM file whose header declares {dataset.Columns} x {dataset.Rows} pixels, but its compressed data "
            f"{stream.width} x {stream.height}"
        )
    if stream.channels != 1:
        return f"a DICOM file whose compressed data have {stream.channels} channels, expected 1"
    stored = dataset.BitsStored
    if stream.lossy and stream.bits < min(stored, 12):
        return f"a DICOM file whose header declares {stored} bits stored, but its compressed data {stream.bits}"
    if stream.point_transform:  # pylibjpeg-libjpeg gives other pixels
        return "a DICOM file of lossless JPEG with a point transform; decompress it, for example with dcmdjpeg"
    if (scans := count_scans(frame)) > MAX_SCANS:
        return f"a DICOM file whose JPEG has {scans:,} scans, expected at most {MAX_SCANS}"
    return None


def is_jpeg_of_eight_bits(dataset: "Dataset") -> bool:
    """Return whether the pixels are lossy JPEG of 8 bits, which Pillow decodes.

    Decoders of lossy JPEG may differ by a gray level. pydicom would choose pylibjpeg if it is installed, and otherwise
    Pillow. With Pillow in all cases, the pixels do not depend on the installed packages, and are those of the page.
    """
    from pydicom.encaps import get_frame

    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return False
    stream = read_codestream_header(get_frame(dataset.PixelData, 0, number_of_frames=1))
    return stream is not None and stream.lossy and stream.bits == 8
