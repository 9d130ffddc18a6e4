"""Read the sample format of PNG, JPEG, BMP and JPEG 2000 files, and bound the work of decoding them."""

import struct
import zlib
from dataclasses import dataclass

from chexnet.errors import InputError

MAX_SCANS = 100
"""Maximum number of scans in a JPEG, the same as in libtiff. Encoders write about ten. A decoder processes the whole
image for each, and a file of a few kilobytes can repeat them thousands of times."""

MAX_RUN_LENGTH_BYTES = 2**23
"""Maximum size of a run-length encoded BMP. Pillow decodes it in Python, which takes some seconds at this size."""

_PNG, _JPEG, _CODESTREAM = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\x4f\xff\x51"
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"


@dataclass(frozen=True)
class StoredImage:
    """The content of an image file, and its sample format.

    Attributes:
        content: content for Pillow to decode, modified if Pillow would misread that of the file.
        bits: bits per sample.
        inverted: whether gray must be inverted after decoding.
        page: index of the image in the file, starting at 0.
        packed_width: width in pixels if Pillow decodes packed samples as bytes, None if it decodes pixels.
        description: kind of the file, for messages.
        warning: warning about a file that is read in spite of a defect.
    """

    content: bytes
    bits: int = 8
    inverted: bool = False
    page: int = 0
    packed_width: int | None = None
    description: str = ""
    warning: str = ""


def inspect_png(content: bytes) -> StoredImage | None:
    """Verify the checksum of every chunk of a PNG; None for other files.

    An ancillary chunk with a wrong checksum is removed.

    Raises:
        InputError: the checksum of a critical chunk is wrong (PNG specification, section 5.3).
    """
    if not content.startswith(_PNG):
        return None
    kept, removed, offset, view = [_PNG], [], len(_PNG), memoryview(content)
    while offset + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, offset)
        end = offset + 12 + length
        if end > len(content):
            break
        name = repr(kind)[2:-1]
        if zlib.crc32(view[offset + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], "big"):
            kept.append(content[offset:end])
        elif kind[0] & 0x20:  # lower case: ancillary
            removed.append(name)
        else:
            raise InputError(f"a damaged PNG: the checksum of its {name} chunk at byte {offset} is wrong")
        offset = end
        if kind == b"IEND":
            break
    bits = content[24] if len(content) > 24 else 8
    if not removed:
        return StoredImage(content, bits)
    warning = f"a damaged PNG: ignored {', '.join(removed)}, whose checksum is wrong; the pixels are intact"
    return StoredImage(b"".join(kept) + content[offset:], bits, warning=warning)


def inspect_jpeg(content: bytes) -> StoredImage | None:
    """Bound the work of decoding a JPEG; None for other files.

    Raises:
        InputError: it has more than MAX_SCANS scans.
    """
    if not content.startswith(_JPEG):
        return None
    scans = content.count(b"\xff\xda")  # in entropy-coded data, 0xFF is followed by 0 or a restart marker
    if scans > MAX_SCANS:
        raise InputError(f"a JPEG of {scans:,} scans, expected at most {MAX_SCANS}")
    return StoredImage(content)


def inspect_bmp(content: bytes) -> StoredImage | None:
    """Bound the work of decoding a BMP; None for other files.

    Raises:
        InputError: it is run-length encoded and larger than MAX_RUN_LENGTH_BYTES.
    """
    if not content.startswith(b"BM"):
        return None
    if content[30:34] in (b"\1\0\0\0", b"\2\0\0\0") and len(content) > MAX_RUN_LENGTH_BYTES:
        raise InputError(
            f"a run-length encoded BMP of {len(content):,} bytes, expected at most {MAX_RUN_LENGTH_BYTES:,}"
        )
    return StoredImage(content)


def inspect_jpeg_2000(content: bytes) -> StoredImage | None:
    """Read the precision of a JPEG 2000 codestream (T.800 A.5.1); None for other files.

    Raises:
        InputError: samples are signed or have more than 16 bits, or the codestream header is truncated.
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
        raise InputError("a JPEG 2000 file with a truncated header") from error
    bits = max(1 + (precision & 0x7F) for precision in precisions)
    if any(precision & 0x80 for precision in precisions):
        raise InputError(f"a JPEG 2000 file of signed {bits}-bit samples, expected unsigned ones")
    if bits > 16:
        raise InputError(f"a JPEG 2000 file of {bits}-bit samples, expected at most 16 bits")
    return StoredImage(content, bits)
