"""What compressed DICOM pixels announce, read before a decoder makes room for it."""

import struct
from dataclasses import dataclass

MAX_SCANS = 30
"""Of a JPEG. A progressive one of gray has some six; each is decoded over the whole image."""


@dataclass(frozen=True)
class Codestream:
    """The beginning of a JPEG, JPEG-LS or JPEG 2000 stream.

    Attributes:
        width: in pixels.
        height: in pixels.
        channels: samples per pixel.
        bits: of a sample.
        lossy: whether it is JPEG with the discrete cosine transform.
    """

    width: int
    height: int
    channels: int
    bits: int
    lossy: bool


def announced(data: bytes) -> Codestream | None:
    """What a JPEG, JPEG-LS or JPEG 2000 stream announces, whatever the DICOM header says; None for others."""
    if (start := data[:512].find(b"\xff\x4f\xff\x51")) >= 0:  # JPEG 2000, T.800 A.5.1: extent of the grid, its offset
        if len(data) < start + 43:
            return None
        right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
        channels, depth = struct.unpack_from(">HB", data, start + 40)
        return Codestream(right - left, bottom - top, channels, (depth & 127) + 1, False)
    if data[:2] != b"\xff\xd8":
        return None
    place = 2
    while place + 10 <= len(data):  # JPEG, T.81 B.2: markers, each with its length, until a frame begins
        marker, length, bits, height, width, channels = struct.unpack_from(">HHBHHB", data, place)
        if marker == 0xFFF7 or (0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC)):
            return Codestream(width, height, channels, bits, 0xFFC0 <= marker <= 0xFFC2)
        place += 1 if marker == 0xFFFF else 2 + length  # 0xFF may fill
    return None


def scans(data: bytes) -> int:
    """How many scans a JPEG stream has at most: in compressed data no other byte than 0 follows 0xFF."""
    return data.count(b"\xff\xda") if data[:2] == b"\xff\xd8" else 0


def rle_fits(data: bytes, pixels: int) -> bool:
    """Whether no segment of an RLE frame grows to more than a byte a pixel, and one for padding; PS3.5 annex G.

    A segment that is twice as long as what it stands for is taken for one that does not fit.
    """
    if len(data) < 64:
        return False
    count, *offsets = struct.unpack_from("<16I", data)
    ends = [*offsets[1:count], len(data)]
    segments = list(zip(offsets[:count], ends, strict=False))
    return all(
        end - start <= 2 * pixels and _unpacked(data, start, end, pixels + 1) <= pixels + 1 for start, end in segments
    )


def _unpacked(data: bytes, place: int, end: int, most: int) -> int:
    """Bytes that a segment becomes; counting ends where they are more than `most`."""
    total = 0
    while place < end and total <= most:
        control = data[place]
        if control < 128:
            total += control + 1
            place += control + 2
        elif control > 128:
            total += 257 - control
            place += 2
        else:
            place += 1
    return total
