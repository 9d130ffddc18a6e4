"""The text file of an image cache that says where each image is: read, checked, written line by line."""

import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.data.transforms import RESIZE_VERSION, Preprocessing
from chexnet.errors import InputError
from chexnet.files.json_files import parse_json

PIXELS = "images.bin"
MANIFEST = "manifest.txt"

_SPACE = "\u00a0"
"""Stands for a space in a name. Names have printable characters alone, which this one is not."""

_LINE = re.compile(r"\S+( -?\d+){6}", re.ASCII)  # name offset height width source_size source_mtime_ns crc32


@dataclass(frozen=True)
class Manifest:
    """A manifest in memory.

    Attributes:
        row_of: name -> row of its last line, the one that counts.
        numbers: int64 [lines, 6]: offset, height, width, source size, source mtime in ns, checksum.
        length: of its whole lines in bytes; what follows is torn.
        end: of the last recorded pixel in the file of the pixels.
    """

    row_of: dict[str, int]
    numbers: np.ndarray
    length: int
    end: int

    def sources(self, rows: Sequence[int] | np.ndarray) -> list[tuple[int, int]]:
        """Size and mtime of the files that the images of these rows were read from."""
        return [(size, mtime) for size, mtime in self.numbers[rows, 3:5].tolist()]


def read_manifest(folder: Path, preprocessing: Preprocessing) -> Manifest:
    """Reads a manifest, and checks that what it says can be read from the pixels' file.

    Raises:
        InputError: either file is missing, shorter than it must be or damaged, or the cache was built in another way.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
        size = os.path.getsize(folder / PIXELS)
    except FileNotFoundError as error:
        file = Path(error.filename).name
        raise InputError(f"{folder}: no image cache ({file} is missing); make one: tools/build_cache.py") from error
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
    whole = data[: data.rfind(b"\n") + 1]
    header, _, body = whole.decode(errors="replace").partition("\n")  # what is replaced, the checksum tells
    _check_header(folder, header, preprocessing)
    lines = body.split("\n")[:-1]
    names = [line.partition(" ")[0].replace(_SPACE, " ") for line in lines]
    try:
        numbers = np.fromstring(" ".join([line.partition(" ")[2] for line in lines]), np.int64, sep=" ").reshape(-1, 6)
    except ValueError:
        numbers = np.empty((0, 6), np.int64)
    if len(numbers) != len(lines):
        raise _damaged(folder, next(n for n, line in enumerate(lines, start=2) if not _LINE.fullmatch(line)))
    offsets, heights, widths = numbers[:, :3].T
    sound = (offsets >= 0) & (offsets < 2**62) & (np.minimum(heights, widths) == preprocessing.resize)
    sound &= np.maximum(heights, widths) < 2**31
    if not sound.all():
        raise _damaged(folder, int(sound.argmin()) + 2)
    ends = offsets + heights * widths
    end = int(ends.max(initial=0))
    if end > size:
        raise InputError(
            f"{folder / PIXELS}: {size} bytes, expected at least {end} by {MANIFEST}:{ends.argmax() + 2}; "
            f"one of the two is damaged: remove {folder} and build it again"
        )
    return Manifest(dict(zip(names, range(len(names)), strict=True)), numbers, len(whole), end)


def header_of(preprocessing: Preprocessing) -> dict[str, int]:
    """The first line of a manifest: all that the pixels of a file depend on."""
    return {
        "cache_format": 1,
        "resize": preprocessing.resize,
        "sample_bits": preprocessing.sample_bits,
        "resize_version": RESIZE_VERSION,
        "fingerprint": preprocessing.fingerprint(),
    }


def _check_header(folder: Path, line: str, preprocessing: Preprocessing) -> None:
    expected = header_of(preprocessing)
    try:
        found = parse_json(line.encode(), folder)
    except InputError as error:
        raise _damaged(folder, 1) from error
    # Earlier versions said less of themselves.
    if not isinstance(found, dict) or "cache_format" not in found or not found.keys() <= expected.keys():
        raise _damaged(folder, 1)
    if found != expected:
        ours, theirs = (
            ", ".join(f"{key} {str(value)[:40]}" for key, value in one.items()) for one in (expected, found)
        )
        raise InputError(f"{folder}: a cache of {theirs}; expected {ours}; build one in another folder")


def _damaged(folder: Path, line: int) -> InputError:
    return InputError(f"{folder / MANIFEST}:{line}: damaged; remove {folder} and build it again")


def line_of(name: str, *numbers: int) -> str:
    """A line of the manifest without its checksum."""
    return " ".join([name.replace(" ", _SPACE), *map(str, numbers)])


def checksum(line: str, image: np.ndarray) -> int:
    """CRC-32 of a manifest line without its checksum, and of the pixels that it speaks of."""
    return zlib.crc32(image.data, zlib.crc32(line.encode()))


def source_of(path: str | os.PathLike[str] | None) -> tuple[int, int] | None:
    """Size and mtime in ns of an image file, None if there is none."""
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
