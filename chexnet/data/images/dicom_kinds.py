"""What a DICOM file is, by its first bytes and without pydicom."""

import os
import struct

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
"""SOP classes, or what several begin with, that hold no radiograph."""


def read_start(path: str | os.PathLike[str]) -> bytes:
    """The first bytes of a file, as many as the others here ask for. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(_START)


def has_preamble(start: bytes) -> bool:
    """Whether a file begins as the standard wants it, PS3.10 section 7.1."""
    return start[PREAMBLE : PREAMBLE + 4] == b"DICM"


def is_bare(start: bytes) -> bool:
    """Whether a file without preamble begins with two elements of group 0002 or 0008, as DICOM does."""
    return len(_elements(start, 0)) > 1


def without_image(start: bytes) -> str | None:
    """What a DICOM file is instead of an image, if its SOP class says so."""
    elements = _elements(start, PREAMBLE + 4 if has_preamble(start) else 0)
    for tag in _SOP_CLASSES:
        if tag in elements:
            sop_class = elements[tag].rstrip(b"\0 ").decode("ascii", "replace")
            return next((kind for uid, kind in _WITHOUT_IMAGE.items() if _matches(sop_class, uid)), None)
    return None


def _matches(sop_class: str, uid: str) -> bool:
    return sop_class == uid or sop_class.startswith(uid if uid.endswith(".") else uid + ".")


def _elements(start: bytes, place: int) -> dict[int, bytes]:
    """The elements of groups 0002 and 0008 that a file begins with, by tag, as far as they are well-formed."""
    found: dict[int, bytes] = {}
    order = ">" if start[place : place + 2] in (b"\0\x02", b"\0\x08") else "<"
    while place + 12 <= len(start):
        group, element = struct.unpack_from(order + "HH", start, place)
        tag, kind = group << 16 | element, start[place + 4 : place + 6]
        if group not in (_META, _IDENTIFICATION) or tag <= max(found, default=-1):
            break
        if kind in _LONG:
            (length,) = struct.unpack_from(order + "I", start, place + 8)
            place += 12
        elif kind in _SHORT:
            (length,) = struct.unpack_from(order + "H", start, place + 6)
            place += 8
        elif order == "<":  # implicit: no kind is given
            (length,) = struct.unpack_from("<I", start, place + 4)
            place += 8
        else:
            break
        if length % 2 or place + length > len(start):
            break
        found[tag] = start[place : place + length]
        place += length
    return found
