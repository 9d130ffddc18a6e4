"""What PNG, JPEG, BMP and JPEG 2000 files say of their samples, and how much work decoding them may be."""

import struct
import zlib
from dataclasses import dataclass

from chexnet.errors import InputError

MAX_SCANS = 100
"""Scans of a JPEG, each of which a decoder takes over the whole image: encoders write some ten, and a file of a few
kilobytes can repeat them thousands of times. libtiff has the same limit."""

MAX_RUN_LENGTH_BYTES = 2**23
"""Of a BMP whose runs of pixels are encoded: Pillow decodes them in Python, some seconds for so many."""

_PNG, _JPEG, _CODESTREAM = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\x4f\xff\x51"
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"


@dataclass(frozen=True)
class Stored:
    """An image file's content, and how it stores its samples.

    Attributes:
        content: to be decoded by Pillow; the file's own, where Pillow reads that as it is meant.
        bits: per sample.
        inverted: whether Pillow's gray is black for white.
        page: of the image in the file, counted from 0.
        packed_width: in pixels, where Pillow gets the bytes of packed samples as gray; None where it gets pixels.
        words: what the file is, for messages about it.
        remark: what is to be said of the file, although it is read.
    """

    content: bytes
    bits: int = 8
    inverted: bool = False
    page: int = 0
    packed_width: int | None = None
    words: str = ""
    remark: str = ""


def stored_png(content: bytes) -> Stored | None:
    """Check every chunk of a PNG; None if the content is none.

    A chunk that is not needed for the pixels, and whose checksum is wrong, is left out.

    Raises:
        InputError: the checksum of another chunk is wrong, PNG specification, section 5.3.
    """
    if not content.startswith(_PNG):
        return None
    kept, lost, place, view = [_PNG], [], len(_PNG), memoryview(content)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if end > len(content):
            break
        if zlib.crc32(view[place + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], "big"):
            kept.append(content[place:end])
        elif kind[0] & 0x20:  # a small letter: ancillary
            lost.append(_name(kind))
        else:
            raise InputError(f"a damaged PNG: the checksum of its {_name(kind)} chunk at byte {place} is wrong")
        place = end
        if kind == b"IEND":
            break
    bits = content[24] if len(content) > 24 else 8
    if not lost:
        return Stored(content, bits)
    remark = f"a damaged PNG: the checksum of its {', '.join(lost)} is wrong, which was left out; its pixels are intact"
    return Stored(b"".join(kept) + content[place:], bits, remark=remark)


def _name(kind: bytes) -> str:
    return repr(kind)[2:-1]


def stored_jpeg(content: bytes) -> Stored | None:
    """Bound the work of decoding a JPEG; None if the content is none.

    Raises:
        InputError: it has more than MAX_SCANS scans.
    """
    if not content.startswith(_JPEG):
        return None
    scans = content.count(b"\xff\xda")  # between markers 0xFF is followed by 0 or by a restart's number
    if scans > MAX_SCANS:
        raise InputError(f"a JPEG of {scans:,} scans, expected at most {MAX_SCANS}")
    return Stored(content)


def stored_bmp(content: bytes) -> Stored | None:
    """Bound the work of decoding a BMP; None if the content is none.

    Raises:
        InputError: it is run-length encoded and has more than MAX_RUN_LENGTH_BYTES.
    """
    if not content.startswith(b"BM"):
        return None
    if content[30:34] in (b"\1\0\0\0", b"\2\0\0\0") and len(content) > MAX_RUN_LENGTH_BYTES:
        raise InputError(
            f"a run-length encoded BMP of {len(content):,} bytes, expected at most {MAX_RUN_LENGTH_BYTES:,}"
        )
    return Stored(content)


def stored_jpeg_2000(content: bytes) -> Stored | None:
    """Read the precision of a JPEG 2000 codestream, T.800 A.5.1; None if the content is none.

    Raises:
        InputError: samples are signed, of more than 16 bits, or the codestream is cut off in its header.
    """
    if not content.startswith((_CODESTREAM, _JP2)):
        return None
    start = content.find(_CODESTREAM)
    try:
        (components,) = struct.unpack_from(">H", content, start + 40)
        precisions = content[start + 42 : start + 42 + 3 * components : 3]
        if start < 0 or len(precisions) != components:
            raise struct.error
    except struct.error as error:
        raise InputError("a JPEG 2000 file without a whole header") from error
    bits = max(1 + (precision & 0x7F) for precision in precisions)
    if any(precision & 0x80 for precision in precisions):
        raise InputError(f"a JPEG 2000 file of signed {bits}-bit samples, expected unsigned ones")
    if bits > 16:
        raise InputError(f"a JPEG 2000 file of {bits}-bit samples, expected at most 16 bits")
    return Stored(content, bits)
