"""Recognize DICOM files and their kinds by their first bytes, without pydicom."""

import struct

from chexnet.data.images.image_source import ImageSource, open_source

SUFFIXES = (".dcm", ".dicom")
PREAMBLE = 128
_START = 8192
_META, _IDENTIFICATION = 0x0002, 0x0008
_SOP_CLASSES = (0x00020002, 0x00080016)

_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}
_SHORT = {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL"}
_SHORT |= {b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}

_WITHOUT_IMAGE = {
    "1.2.840.10008.1.3.10": "DICOMDIR",
    "1.2.840.10008.5.1.4.1.1.88.59": "key object selection",
    "1.2.840.10008.5.1.4.1.1.88.": "structured report",
    "1.2.840.10008.5.1.4.1.1.11.": "presentation state",
    "1.2.840.10008.5.1.4.1.1.104.": "encapsulated document",
    "1.2.840.10008.5.1.4.1.1.9.": "waveform",
    "1.2.840.10008.5.1.4.1.1.66": "raw data, registration or segmentation",
    "1.2.840.10008.5.1.4.1.1.481.3": "radiotherapy structure set",
    "1.2.840.10008.5.1.4.1.1.481.5": "radiotherapy plan",
}
"""SOP classes without a radiograph, by UID or, if the key ends in a dot, by prefix."""


def read_start(source: ImageSource) -> bytes:
    """Read the first bytes of a file, which the other functions of this module take.

    Raises:
        OSError: the file cannot be opened or read.
    """
    with open_source(source) as file:
        return file.read(_START)


def is_dicom(source: ImageSource) -> bool:
    """Return whether a file is DICOM by its content, with or without a preamble, or by its suffix.

    Raises:
        OSError: the file cannot be opened or read.
    """
    start = read_start(source)
    return has_preamble(start) or str(source).lower().endswith(SUFFIXES) or is_bare(start)


def has_preamble(start: bytes) -> bool:
    """Return whether a file has the preamble and prefix of DICOM PS3.10 section 7.1."""
    return start[PREAMBLE : PREAMBLE + 4] == b"DICM"


def is_bare(start: bytes) -> bool:
    """Return whether a file is DICOM without a preamble: it begins with two elements of group 0002 or 0008."""
    return len(_parse_elements(start, 0)) > 1


def kind_without_image(start: bytes) -> str | None:
    """Return the kind of a DICOM file whose SOP class has no image; None for other files."""
    elements = _parse_elements(start, PREAMBLE + 4 if has_preamble(start) else 0)
    for tag in _SOP_CLASSES:
        if tag in elements:
            sop_class = elements[tag].rstrip(b"\0 ").decode("ascii", "replace")
            return next((kind for uid, kind in _WITHOUT_IMAGE.items() if _matches(sop_class, uid)), None)
    return None


def _matches(sop_class: str, uid: str) -> bool:
    return sop_class == uid or sop_class.startswith(uid if uid.endswith(".") else uid + ".")


def _parse_elements(start: bytes, offset: int) -> dict[int, bytes]:
    """Return the values of the leading elements of groups 0002 and 0008 by tag, up to the first malformed one."""
    elements: dict[int, bytes] = {}
    order = ">" if start[offset : offset + 2] in (b"\0\x02", b"\0\x08") else "<"
    while offset + 12 <= len(start):
        group, element = struct.unpack_from(order + "HH", start, offset)
        tag, vr = group << 16 | element, start[offset + 4 : offset + 6]
        if group not in (_META, _IDENTIFICATION) or tag <= max(elements, default=-1):
            break
        if vr in _LONG:
            (length,) = struct.unpack_from(order + "I", start, offset + 8)
            offset += 12
        elif vr in _SHORT:
            (length,) = struct.unpack_from(order + "H", start, offset + 6)
            offset += 8
        elif order == "<":  # implicit VR
            (length,) = struct.unpack_from("<I", start, offset + 4)
            offset += 8
        else:
            break
        if length % 2 or offset + length > len(start):
            break
        elements[tag] = start[offset : offset + length]
        offset += length
    return elements
