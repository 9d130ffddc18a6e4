"""Read headers of compressed DICOM pixels before a decoder allocates memory for them."""

import struct
from dataclasses import dataclass

MAX_SCANS = 30
"""Maximum number of scans in a JPEG. A progressive gray JPEG has about six, and each is decoded at full size."""


@dataclass(frozen=True)
class CodestreamHeader:
    """The header of a JPEG, JPEG-LS or JPEG 2000 stream.

    Attributes:
        width: width in pixels.
        height: height in pixels.
        channels: samples per pixel.
        bits: bits per sample.
        lossy: whether it is JPEG with the discrete cosine transform.
        point_transform: number of lower bits that a lossless JPEG leaves out (T.81 H.1.1).
    """

    width: int
    height: int
    channels: int
    bits: int
    lossy: bool
    point_transform: int = 0


def read_codestream_header(data: bytes) -> CodestreamHeader | None:
    """Read the header of a JPEG, JPEG-LS or JPEG 2000 stream, ignoring the DICOM header; None for other data."""
    if (start := data[:512].find(b"\xff\x4f\xff\x51")) >= 0:  # JPEG 2000, T.800 A.5.1: grid extent and image offset
        if len(data) < start + 43:
            return None
        right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
        channels, depth = struct.unpack_from(">HB", data, start + 40)
        return CodestreamHeader(right - left, bottom - top, channels, (depth & 127) + 1, False)
    if data[:2] != b"\xff\xd8":
        return None
    offset = 2
    while offset + 10 <= len(data):  # JPEG, T.81 B.2: marker segments with their lengths, up to the frame header
        marker, length, bits, height, width, channels = struct.unpack_from(">HHBHHB", data, offset)
        if marker == 0xFFF7 or (0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC)):
            point_transform = _read_point_transform(data, offset) if marker == 0xFFC3 else 0
            return CodestreamHeader(width, height, channels, bits, 0xFFC0 <= marker <= 0xFFC2, point_transform)
        offset += 1 if marker == 0xFFFF else 2 + length  # 0xFF is a fill byte
    return None


def _read_point_transform(data: bytes, offset: int) -> int:
    """Read the point transform in the header of the first scan, which follows the segment at `offset`; 0 if missing."""
    while offset + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, offset)
        end = offset + 2 + length
        if marker == 0xFFDA:
            return data[end - 1] & 15 if end <= len(data) else 0
        offset = offset + 1 if marker == 0xFFFF else end
    return 0


def count_scans(data: bytes) -> int:
    """Return an upper bound on the number of scans in a JPEG stream; 0 for other data."""
    # In entropy-coded data, 0xFF is followed by 0 or a restart marker.
    return data.count(b"\xff\xda") if data[:2] == b"\xff\xd8" else 0


def rle_fits(data: bytes, pixels: int) -> bool:
    """Check that no segment of an RLE frame expands to more than one byte per pixel plus one of padding.

    DICOM PS3.5 annex G. A segment more than twice as long as the bytes it encodes fails the check.
    """
    if len(data) < 64:
        return False
    count, *offsets = struct.unpack_from("<16I", data)
    ends = [*offsets[1:count], len(data)]
    segments = list(zip(offsets[:count], ends, strict=False))
    return all(
        end - start <= 2 * pixels and _decoded_length(data, start, end, pixels + 1) <= pixels + 1
        for start, end in segments
    )


def _decoded_length(data: bytes, offset: int, end: int, limit: int) -> int:
    """Return the decoded length of an RLE segment in bytes, or some number above `limit` if it is longer."""
    total = 0
    while offset < end and total <= limit:
        control = data[offset]
        if control < 128:
            total += control + 1
            offset += control + 2
        elif control > 128:
            total += 257 - control
            offset += 2
        else:
            offset += 1
    return total
