"""What a TIFF says of its samples (TIFF 6.0, BigTIFF), and what Pillow has to be told for their true values.

Pillow ignores here and there that 0 is white, and knows few bit depths.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chexnet.data.images.headers import Stored
from chexnet.errors import InputError

MAX_PAGES = 16
MAX_PIECES = 250_000
"""Strips or tiles of an image; even single rows and tiles of 16 x 16 pixels are fewer."""

_SUBFILE, _WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 254, 256, 258, 259, 262, 274
_SAMPLES, _PLANES = 277, 284
_STRIPS, _TILES, _TILE_WIDTH, _COLORS, _PREVIEWED, _FORMAT = 273, 324, 322, 320, 330, 339
_TAGS = {_SUBFILE, _WIDTH, _BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _STRIPS, _TILES, _TILE_WIDTH, _COLORS}
_TAGS |= {_PREVIEWED, _FORMAT, _COMPRESSION, _PLANES}

_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_FORMATS = {2: "signed", 3: "floating-point", 4: "undefined", 5: "complex signed", 6: "complex"}
_COLORS_OF = {0: "gray", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "L*a*b*"}
_NOT_THE_IMAGE = 1 | 4  # NewSubfileType: an image of lower resolution, a transparency mask


@dataclass(frozen=True)
class _Directory:
    """The values of a directory's tags, how many there are, and where in the file the first one is, by tag."""

    values: dict[int, tuple[int, ...]]
    counts: dict[int, int]
    places: dict[int, tuple[int, str]]

    def first(self, tag: int, default: int | None = None) -> int | None:
        return self.values[tag][0] if self.values.get(tag) else default


def stored_tiff(content: bytes) -> Stored | None:
    """Choose the image of a TIFF, and say how it is stored; None if the content is none.

    Raises:
        InputError: the header is damaged or does not say what black and white are; or the samples are not unsigned
            whole numbers of at most 16 bits; or there are several images besides previews of one.
    """
    if content[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    try:
        directories = list(_directories(content))
    except struct.error as error:
        raise InputError("a damaged TIFF: its header leads out of the file") from error
    images = [page for page, one in enumerate(directories) if not (one.first(_SUBFILE) or 0) & _NOT_THE_IMAGE]
    if not images and len(directories) == 1 and _PREVIEWED not in directories[0].counts:
        images = [0]
    if len(images) != 1 and len(directories) == 1:
        raise InputError("a TIFF of a preview, without its image")
    if len(images) != 1:
        raise InputError("several frames, expected a single image")
    return _stored(content, directories[images[0]], images[0])


def unpacked(rows: np.ndarray, bits: int, width: int) -> np.ndarray:
    """Packed samples, the first bit being the highest: uint8 [H, bytes] -> uint16 [H, width]."""
    # Sixteen samples at a time fill whole bytes, and fewer rows at a time little memory.
    result = np.empty((len(rows), width), np.uint16)
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)
    for start in range(0, len(rows), 64):
        ones = np.unpackbits(rows[start : start + 64], axis=1)[:, : width * bits]
        result[start : start + 64] = ones.reshape(len(ones), width, bits) @ weights
    return result


def _directories(content: bytes) -> Iterator[_Directory]:
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    number, entries, entry, size = ("Q", "Q", "HHQ", 20) if big else ("I", "H", "HHI", 12)
    (place,) = struct.unpack_from(order + number, content, 8 if big else 4)
    for _ in range(MAX_PAGES):
        if not place:
            return
        (count,) = struct.unpack_from(order + entries, content, place)
        place += struct.calcsize("=" + entries)
        if count * size > len(content):
            raise struct.error
        directory = _Directory({}, {}, {})
        for start in range(place, place + count * size, size):
            tag, kind, length = struct.unpack_from(order + entry, content, start)
            if tag not in _TAGS:
                continue
            directory.counts[tag] = length
            if kind not in _TYPES or not length:
                raise InputError(f"a damaged TIFF: its tag {tag} has {length} values of type {kind}")
            one = _TYPES[kind]
            value, room = start + struct.calcsize("=" + entry), size - struct.calcsize("=" + entry)
            if length * struct.calcsize("=" + one) > room:
                (value,) = struct.unpack_from(order + number, content, value)
            directory.places[tag] = value, order + one
            directory.values[tag] = struct.unpack_from(f"{order}{min(length, 3 * 2**16)}{one}", content, value)
        yield directory
        (place,) = struct.unpack_from(order + number, content, place + count * size)
    raise InputError("several frames, expected a single image")


def _stored(content: bytes, directory: _Directory, page: int) -> Stored:
    bits, photometric = directory.first(_BITS, 1) or 0, directory.first(_PHOTOMETRIC)
    if fault := _fault(directory, bits, photometric):
        raise InputError(fault)
    words = f"a TIFF of {bits}-bit {_COLORS_OF.get(photometric or 0, f'color of kind {photometric}')} samples"
    changes = {_PHOTOMETRIC: 1} if photometric == 0 else {}
    packed_width = None
    if photometric in (0, 1) and bits not in (1, 2, 4, 8, 16):
        if (directory.first(_SAMPLES, 1), directory.first(_ORIENTATION, 1)) != (1, 1):
            raise InputError(f"{words}, several per pixel or of a turned image; expected 1, 2, 4, 8 or 16 bits there")
        packed_width = directory.first(_WIDTH, 0)
        changes[_BITS] = 8
        for tag in {_WIDTH, _TILE_WIDTH} & directory.values.keys():
            changes[tag] = -(-(directory.first(tag) or 0) * bits // 8)
    return Stored(_changed(content, directory, changes), bits, photometric == 0, page, packed_width, words)


def _fault(directory: _Directory, bits: int, photometric: int | None) -> str | None:
    """What is wrong with an image by its header."""
    if max(directory.counts.get(tag, 0) for tag in (_STRIPS, _TILES)) > MAX_PIECES:
        return f"a TIFF of more than {MAX_PIECES:,} strips or tiles"
    if photometric is None:
        return "a TIFF that does not say whether 0 is black or white (PhotometricInterpretation is missing)"
    formats = set(directory.values.get(_FORMAT, (1,)))
    if formats != {1}:
        kind = next(_FORMATS.get(one, f"unknown (SampleFormat {one})") for one in formats - {1})
        return f"a TIFF of {kind} {bits}-bit samples, expected unsigned whole numbers"
    depths = directory.values.get(_BITS, (1,))[: directory.first(_SAMPLES, 1) or 1]  # some writers give more
    if min(depths) != max(depths):
        return f"a TIFF of samples of {min(depths)} to {max(depths)} bits, expected all alike"
    if not 1 <= bits <= 16:
        return f"a TIFF of {bits}-bit samples, expected at most 16 bits"
    planes = bits > 8 and directory.first(_PLANES) == 2 and (directory.first(_SAMPLES) or 1) > 1
    if planes and directory.first(_COMPRESSION, 1) == 1:  # Pillow takes their high and low bytes for pixels
        return f"a TIFF of {bits}-bit samples in a plane for each color, uncompressed; expected them pixel by pixel"
    if photometric == 3 and max(directory.values.get(_COLORS, (0,))) < 256:
        return "a TIFF whose palette is black: its colors are at most 255 of 65,535"
    return None


def _changed(content: bytes, directory: _Directory, changes: dict[int, int]) -> bytes:
    """The file with another first value of some tags."""
    if not changes:
        return content
    changed = bytearray(content)
    for tag, value in changes.items():
        place, kind = directory.places[tag]
        if value >= 1 << 8 * struct.calcsize(kind):
            raise InputError(f"a damaged TIFF: its tag {tag} has no room for {value}")
        struct.pack_into(kind, changed, place, value)
    return bytes(changed)
