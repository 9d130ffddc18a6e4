"""Read the sample format of TIFF files (TIFF 6.0, BigTIFF), and patch tags that Pillow would misread.

In some cases, Pillow ignores that 0 means white. It supports few bit depths.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chexnet.data.images.headers import StoredImage
from chexnet.errors import InputError

MAX_PAGES = 16
MAX_BLOCKS = 250_000
"""Maximum number of strips or tiles in an image. Strips of one row and tiles of 16 x 16 pixels stay below it."""

_SUBFILE, _WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 254, 256, 258, 259, 262, 274
_SAMPLES, _PLANES = 277, 284
_STRIPS, _TILES, _TILE_WIDTH, _COLORS, _PREVIEWED, _FORMAT = 273, 324, 322, 320, 330, 339
_TAGS = {_SUBFILE, _WIDTH, _BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _STRIPS, _TILES, _TILE_WIDTH, _COLORS}
_TAGS |= {_PREVIEWED, _FORMAT, _COMPRESSION, _PLANES}

_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_FORMATS = {2: "signed", 3: "floating-point", 4: "undefined", 5: "complex signed", 6: "complex"}
_COLOR_SPACES = {0: "gray", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "L*a*b*"}
_SECONDARY = 1 | 4  # NewSubfileType: an image of reduced resolution, a transparency mask


@dataclass(frozen=True)
class _Directory:
    """The tags of an image file directory.

    Attributes:
        values: values by tag.
        counts: number of values by tag.
        locations: offset of the first value in the file and its struct format, by tag.
    """

    values: dict[int, tuple[int, ...]]
    counts: dict[int, int]
    locations: dict[int, tuple[int, str]]

    def first(self, tag: int, default: int | None = None) -> int | None:
        return self.values[tag][0] if self.values.get(tag) else default


def inspect_tiff(content: bytes) -> StoredImage | None:
    """Select the main image of a TIFF and read its sample format; None for other files.

    Raises:
        InputError: the header is damaged or lacks the photometric interpretation; samples are not unsigned integers
            of at most 16 bits; or there are several images that are not previews.
    """
    if content[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    try:
        directories = list(_read_directories(content))
    except struct.error as error:
        raise InputError("a damaged TIFF: its header points beyond the end of the file") from error
    pages = [page for page, directory in enumerate(directories) if not (directory.first(_SUBFILE) or 0) & _SECONDARY]
    if not pages and len(directories) == 1 and _PREVIEWED not in directories[0].counts:
        pages = [0]
    if len(pages) != 1 and len(directories) == 1:
        raise InputError("a TIFF that contains only the preview of an image")
    if len(pages) != 1:
        raise InputError("several frames, expected a single image")
    return _inspect_page(content, directories[pages[0]], pages[0])


def unpack_samples(rows: np.ndarray, bits: int, width: int) -> np.ndarray:
    """Unpack samples whose highest bit comes first: uint8 [H, bytes] -> uint16 [H, width]."""
    # Blocks of rows keep the array of single bits small.
    result = np.empty((len(rows), width), np.uint16)
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)
    for start in range(0, len(rows), 64):
        unpacked = np.unpackbits(rows[start : start + 64], axis=1)[:, : width * bits]
        result[start : start + 64] = unpacked.reshape(len(unpacked), width, bits) @ weights
    return result


def _read_directories(content: bytes) -> Iterator[_Directory]:
    """Yield the image file directories of a TIFF.

    Raises:
        InputError: a tag is malformed, or there are more than MAX_PAGES directories.
        struct.error: an offset points beyond the end of the file.
    """
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    pointer, entry_count, entry, size = ("Q", "Q", "HHQ", 20) if big else ("I", "H", "HHI", 12)
    (offset,) = struct.unpack_from(order + pointer, content, 8 if big else 4)
    for _ in range(MAX_PAGES):
        if not offset:
            return
        (count,) = struct.unpack_from(order + entry_count, content, offset)
        offset += struct.calcsize("=" + entry_count)
        if count * size > len(content):
            raise struct.error
        directory = _Directory({}, {}, {})
        for start in range(offset, offset + count * size, size):
            tag, kind, length = struct.unpack_from(order + entry, content, start)
            if tag not in _TAGS:
                continue
            directory.counts[tag] = length
            if kind not in _TYPES or not length:
                raise InputError(f"a damaged TIFF: its tag {tag} has {length} values of type {kind}")
            code = _TYPES[kind]
            location, room = start + struct.calcsize("=" + entry), size - struct.calcsize("=" + entry)
            if length * struct.calcsize("=" + code) > room:
                (location,) = struct.unpack_from(order + pointer, content, location)
            directory.locations[tag] = location, order + code
            directory.values[tag] = struct.unpack_from(f"{order}{min(length, 3 * 2**16)}{code}", content, location)
        yield directory
        (offset,) = struct.unpack_from(order + pointer, content, offset + count * size)
    raise InputError("several frames, expected a single image")


def _inspect_page(content: bytes, directory: _Directory, page: int) -> StoredImage:
    bits, photometric = directory.first(_BITS, 1) or 0, directory.first(_PHOTOMETRIC)
    if fault := _fault(directory, bits, photometric):
        raise InputError(fault)
    color = _COLOR_SPACES.get(photometric or 0, f"photometric {photometric}")
    description = f"a TIFF of {bits}-bit {color} samples"
    changes = {_PHOTOMETRIC: 1} if photometric == 0 else {}
    packed_width = None
    if photometric in (0, 1) and bits not in (1, 2, 4, 8, 16):
        if (directory.first(_SAMPLES, 1), directory.first(_ORIENTATION, 1)) != (1, 1):
            raise InputError(f"{description}, rotated or with several per pixel; expected 1, 2, 4, 8 or 16 bits")
        packed_width = directory.first(_WIDTH, 0)
        changes[_BITS] = 8
        for tag in {_WIDTH, _TILE_WIDTH} & directory.values.keys():
            changes[tag] = -(-(directory.first(tag) or 0) * bits // 8)
    return StoredImage(_patch(content, directory, changes), bits, photometric == 0, page, packed_width, description)


def _fault(directory: _Directory, bits: int, photometric: int | None) -> str | None:
    """Describe why an image is refused by its header; None if it is accepted."""
    if max(directory.counts.get(tag, 0) for tag in (_STRIPS, _TILES)) > MAX_BLOCKS:
        return f"a TIFF of more than {MAX_BLOCKS:,} strips or tiles"
    if photometric is None:
        return "a TIFF without PhotometricInterpretation, so that 0 may be black or white"
    formats = set(directory.values.get(_FORMAT, (1,)))
    if formats != {1}:
        kind = next(_FORMATS.get(number, f"unknown (SampleFormat {number})") for number in formats - {1})
        return f"a TIFF of {kind} {bits}-bit samples, expected unsigned integers"
    depths = directory.values.get(_BITS, (1,))[: directory.first(_SAMPLES, 1) or 1]  # some programs write more values
    if min(depths) != max(depths):
        return f"a TIFF of samples of {min(depths)} to {max(depths)} bits, expected equal depths"
    if not 1 <= bits <= 16:
        return f"a TIFF of {bits}-bit samples, expected at most 16 bits"
    planes = bits > 8 and directory.first(_PLANES) == 2 and (directory.first(_SAMPLES) or 1) > 1
    if planes and directory.first(_COMPRESSION, 1) == 1:  # Pillow reads each byte as a pixel
        return f"a TIFF of {bits}-bit samples in uncompressed planes, expected interleaved colors"
    if photometric == 3 and max(directory.values.get(_COLORS, (0,))) < 256:
        return "a TIFF whose palette is almost black: its colors are at most 255 of 65,535"
    return None


def _patch(content: bytes, directory: _Directory, changes: dict[int, int]) -> bytes:
    """Replace the first values of tags in the content of a file."""
    if not changes:
        return content
    patched = bytearray(content)
    for tag, value in changes.items():
        offset, code = directory.locations[tag]
        if value >= 1 << 8 * struct.calcsize(code):
            raise InputError(f"a damaged TIFF: its tag {tag} cannot store {value}")
        struct.pack_into(code, patched, offset, value)
    return bytes(patched)
