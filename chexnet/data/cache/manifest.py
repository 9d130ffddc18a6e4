"""The manifest of an image cache, a text file with the position of each image in the pixel file."""

import mmap
import os
import re
import zlib
from array import array
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chexnet.data.transforms import RESIZE_VERSION, Preprocessing
from chexnet.errors import InputError
from chexnet.files.json_files import parse_json

PIXELS = "images.bin"
MANIFEST = "manifest.txt"

_SPACE = "\u00a0"
"""Replacement for spaces in names. Names consist of printable characters, so they cannot contain this one."""

_LINE = re.compile(rb"\S+( -?\d+){6}\n")  # name offset height width source_size source_mtime_ns crc32

_BLOCK = 2**16
"""Bytes of a manifest to check at a time, and images to look up at a time."""


class Entry(NamedTuple):
    """A line of a manifest: position and size of an image in the pixel file, and its checksum.

    `text` is the line without its checksum.
    """

    text: bytes
    name: str
    offset: int
    height: int
    width: int
    source_size: int
    source_mtime_ns: int
    checksum: int

    @property
    def source_stamp(self) -> tuple[int, int]:
        """Size and mtime of the source file, see `file_stamp`."""
        return self.source_size, self.source_mtime_ns


class Manifest:
    """A manifest, opened for reading. In memory, it needs 16 bytes per image; its lines are read when they are used.

    Args:
        text: memory map of the file.
        positions: int64 [lines], positions of the lines in the file, bytes.
        hashes: int64 [lines], `hash` of the names as bytes.
        length: length of the complete lines in bytes; an incomplete line may follow.
        end: end of the last recorded image in the pixel file, bytes.
    """

    def __init__(self, text: mmap.mmap, positions: np.ndarray, hashes: np.ndarray, length: int, end: int) -> None:
        self.length = length
        self.end = end
        self._text = text
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._positions = hashes[order], positions[order]
        self._keep_last_lines()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._positions)

    @property
    def positions(self) -> np.ndarray:
        """Positions of the lines of all images, int64 [images], in the order of the file."""
        return np.sort(self._positions)

    def find(self, names: Sequence[str]) -> np.ndarray:
        """Return the position of the line of each image, int64 [N]; -1 if it has none."""
        found = np.empty(len(names), np.int64)
        remaining = iter(names)
        for start in range(0, len(names), _BLOCK):
            keys = [_key(name) for name in islice(remaining, _BLOCK)]
            first = np.searchsorted(self._hashes, np.fromiter(map(hash, keys), np.int64, len(keys)))
            found[start : start + len(keys)] = [self._match(*pair) for pair in zip(keys, first.tolist(), strict=True)]
        return found

    def entry(self, position: int) -> Entry:
        """Read the line at a position."""
        text, _, crc = self._text[position : self._text.find(b"\n", position)].rpartition(b" ")
        name, *numbers = text.split(b" ")
        offset, height, width, size, mtime = map(int, numbers)
        return Entry(text, _name(name), offset, height, width, size, mtime, int(crc))

    def _match(self, key: bytes, index: int) -> int:
        """Return the position of the line of a name, searched from the first of its hash; -1 if there is none."""
        while index < len(self._hashes):
            position = int(self._positions[index])
            if self._text[position : position + len(key)] == key:
                return position
            if self._hashes[index] != hash(key):
                break
            index += 1
        return -1

    def _keep_last_lines(self) -> None:
        """Remove all lines of an image except the last, which replaced the others."""
        same = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        lines = np.union1d(same, same + 1)
        last = {self._name_at(int(self._positions[line])): line for line in lines.tolist()}
        kept = np.ones(len(self._hashes), bool)
        kept[lines] = False
        kept[list(last.values())] = True
        if not kept.all():
            self._hashes, self._positions = self._hashes[kept], self._positions[kept]

    def _name_at(self, position: int) -> bytes:
        return self._text[position : self._text.find(b" ", position)]


def read_manifest(folder: Path, preprocessing: Preprocessing) -> Manifest:
    """Open a manifest and check it against the pixel file.

    Raises:
        InputError: a file is missing, too short or damaged, or the cache was built with other settings.
    """
    try:
        with open(folder / MANIFEST, "rb") as file:
            size = os.path.getsize(folder / PIXELS)
            header = file.readline()
            _check_header(folder, header if header.endswith(b"\n") else b"", preprocessing)
            hashes, positions = array("q"), array("q")
            length, end = len(header), 0
            while lines := file.readlines(_BLOCK):
                if not lines[-1].endswith(b"\n"):
                    del lines[-1]
                ends = _image_ends(folder, lines, len(positions) + 2, preprocessing.resize)
                if ends.max(initial=0) > size:
                    raise _too_short(folder, size, int(ends.max()), len(positions) + 2 + int(ends.argmax()))
                hashes.extend(hash(line[: line.index(b" ") + 1]) for line in lines)
                starts = length + np.cumsum([0, *map(len, lines)])
                positions.frombytes(starts[:-1].tobytes())
                length = int(starts[-1])
                end = max(end, int(ends.max(initial=0)))
            text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise InputError(
            f"{folder}: no image cache ({missing} is missing); build one with tools/build_cache.py"
        ) from error
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return Manifest(text, np.frombuffer(positions, np.int64), np.frombuffer(hashes, np.int64), length, end)


def _image_ends(folder: Path, lines: Sequence[bytes], first_line: int, shorter_side: int) -> np.ndarray:
    """Check lines of a manifest and return the ends of their images in the pixel file, int64 [lines].

    Raises:
        InputError: a line is malformed. The message has its number, which is `first_line` for the first.
    """
    if not all(map(_LINE.fullmatch, lines)):
        raise _damaged(folder, next(n for n, line in enumerate(lines, first_line) if not _LINE.fullmatch(line)))
    numbers = np.fromstring(b" ".join([line.partition(b" ")[2] for line in lines]), np.int64, sep=" ")
    offsets, heights, widths = numbers.reshape(-1, 6)[:, :3].T
    valid = (offsets >= 0) & (offsets < 2**62) & (np.minimum(heights, widths) == shorter_side)
    valid &= np.maximum(heights, widths) < 2**31
    if not valid.all():
        raise _damaged(folder, int(valid.argmin()) + first_line)
    return offsets + heights * widths


def expected_header(preprocessing: Preprocessing) -> dict[str, int]:
    """Return the first line of a manifest: all settings that the pixels depend on."""
    return {
        "cache_format": 1,
        "resize": preprocessing.resize,
        "sample_bits": preprocessing.sample_bits,
        "resize_version": RESIZE_VERSION,
        "fingerprint": preprocessing.resize_checksum(),
    }


def _check_header(folder: Path, line: bytes, preprocessing: Preprocessing) -> None:
    expected = expected_header(preprocessing)
    try:
        found = parse_json(line, folder)
    except InputError as error:
        raise _damaged(folder, 1) from error
    # Earlier versions wrote fewer keys.
    if not isinstance(found, dict) or "cache_format" not in found or not found.keys() <= expected.keys():
        raise _damaged(folder, 1)
    if found != expected:
        expected_text, found_text = (
            ", ".join(f"{key} {str(value)[:40]}" for key, value in header.items()) for header in (expected, found)
        )
        raise InputError(
            f"{folder}: the cache has {found_text}; expected {expected_text}; build a new cache in another folder"
        )


def _damaged(folder: Path, line: int) -> InputError:
    return InputError(f"{folder / MANIFEST}:{line}: damaged; remove {folder} and build it again")


def _too_short(folder: Path, size: int, expected: int, line: int) -> InputError:
    return InputError(
        f"{folder / PIXELS}: {size} bytes, expected at least {expected} according to {MANIFEST}:{line}; one of these "
        f"files is damaged: remove {folder} and build it again"
    )


def _name(written: bytes) -> str:
    """Return the name of an image as written in a line."""
    return written.decode(errors="replace").replace(_SPACE, " ")


def _key(name: str) -> bytes:
    """Return the beginning of the line of an image."""
    return f"{name.replace(' ', _SPACE)} ".encode(errors="replace")


def format_line(name: str, *numbers: int) -> bytes:
    """Format a line of the manifest without its checksum."""
    return _key(name) + " ".join(map(str, numbers)).encode()


def checksum(line: bytes, image: np.ndarray) -> int:
    """Return the CRC-32 of a manifest line (without its checksum) and the pixels of its image."""
    return zlib.crc32(image.data, zlib.crc32(line))


def file_stamp(path: str | os.PathLike[str] | None) -> tuple[int, int] | None:
    """Return size and mtime in ns of an image file, or None if it does not exist."""
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
