"""The manifest of an image cache, a text file with the position of each image in the pixel file."""

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
"""Replacement for spaces in names. Names consist of printable characters, so they cannot contain this one."""

_LINE = re.compile(r"\S+( -?\d+){6}", re.ASCII)  # name offset height width source_size source_mtime_ns crc32


@dataclass(frozen=True)
class Manifest:
    """A manifest in memory.

    Attributes:
        row_by_name: row of each image, that of its last line.
        numbers: int64 [lines, 6]: offset, height, width, source size, source mtime in ns, checksum.
        length: length of the complete lines in bytes; an incomplete line may follow.
        end: end of the last recorded image in the pixel file, bytes.
    """

    row_by_name: dict[str, int]
    numbers: np.ndarray
    length: int
    end: int

    def file_stamps(self, rows: Sequence[int] | np.ndarray) -> list[tuple[int, int]]:
        """Return size and mtime of the source files of the images in the given rows."""
        return [(size, mtime) for size, mtime in self.numbers[rows, 3:5].tolist()]


def read_manifest(folder: Path, preprocessing: Preprocessing) -> Manifest:
    """Read a manifest and check it against the pixel file.

    Raises:
        InputError: a file is missing, too short or damaged, or the cache was built with other settings.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
        size = os.path.getsize(folder / PIXELS)
    except FileNotFoundError as error:
        file = Path(error.filename).name
        raise InputError(
            f"{folder}: no image cache ({file} is missing); build one with tools/build_cache.py"
        ) from error
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
    complete = data[: data.rfind(b"\n") + 1]
    header, _, body = complete.decode(errors="replace").partition("\n")  # checksums reveal replaced bytes
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
    valid = (offsets >= 0) & (offsets < 2**62) & (np.minimum(heights, widths) == preprocessing.resize)
    valid &= np.maximum(heights, widths) < 2**31
    if not valid.all():
        raise _damaged(folder, int(valid.argmin()) + 2)
    ends = offsets + heights * widths
    end = int(ends.max(initial=0))
    if end > size:
        raise InputError(
            f"{folder / PIXELS}: {size} bytes, expected at least {end} according to {MANIFEST}:{ends.argmax() + 2}; "
            f"one of these files is damaged: remove {folder} and build it again"
        )
    return Manifest(dict(zip(names, range(len(names)), strict=True)), numbers, len(complete), end)


def expected_header(preprocessing: Preprocessing) -> dict[str, int]:
    """Return the first line of a manifest: all settings that the pixels depend on."""
    return {
        "cache_format": 1,
        "resize": preprocessing.resize,
        "sample_bits": preprocessing.sample_bits,
        "resize_version": RESIZE_VERSION,
        "fingerprint": preprocessing.resize_checksum(),
    }


def _check_header(folder: Path, line: str, preprocessing: Preprocessing) -> None:
    expected = expected_header(preprocessing)
    try:
        found = parse_json(line.encode(), folder)
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


def format_line(name: str, *numbers: int) -> str:
    """Format a line of the manifest without its checksum."""
    return " ".join([name.replace(" ", _SPACE), *map(str, numbers)])


def checksum(line: str, image: np.ndarray) -> int:
    """Return the CRC-32 of a manifest line (without its checksum) and the pixels of its image."""
    return zlib.crc32(image.data, zlib.crc32(line.encode()))


def file_stamp(path: str | os.PathLike[str] | None) -> tuple[int, int] | None:
    """Return size and mtime in ns of an image file, or None if it does not exist."""
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
