"""Image files on disk or in memory, and limits on their size, checked before they are decoded."""

import io
import os
from dataclasses import dataclass
from typing import BinaryIO, cast

MAX_PIXELS = 50_000_000
"""Twice the pixels of the largest digital chest radiographs, about 5000 x 5000. A file of a few kilobytes can declare
a thousand times as many (a decompression bomb)."""

MIN_SIDE = 16
"""Minimum side in pixels. A smaller image is a placeholder or the result of an error."""

MAX_RATIO = 10
"""Maximum ratio of the longer to the shorter side, three times that of a radiograph of the whole spine. Resizing the
shorter side of a narrow strip would produce a huge image."""


@dataclass(frozen=True)
class ImageBytes:
    """The content of an image file in memory; messages call it by its name.

    Attributes:
        content: bytes of the file.
        name: name of the image in messages.
    """

    content: bytes
    name: str = "the image"

    def __str__(self) -> str:
        return self.name


class _Memory(io.BytesIO):
    name = ""  # pydicom asks each open file for it


ImageSource = str | os.PathLike[str] | ImageBytes
"""Path of an image file, or its content."""


def open_source(source: ImageSource) -> BinaryIO:
    """Open an image for reading, without a buffer.

    Raises:
        OSError: the file cannot be opened.
    """
    if isinstance(source, ImageBytes):
        return _Memory(source.content)
    return cast(BinaryIO, open(source, "rb", buffering=0))


def source_size(source: ImageSource) -> int:
    """Return the size of an image file in bytes."""
    return len(source.content) if isinstance(source, ImageBytes) else os.path.getsize(source)


def size_fault(width: int, height: int) -> str | None:
    """Describe why an image of this size in pixels is refused; None if it is accepted."""
    if width * height > MAX_PIXELS:
        return f"{width} x {height} pixels, expected at most {MAX_PIXELS:,} in total"
    if min(width, height) < MIN_SIDE:
        return f"{width} x {height} pixels, expected at least {MIN_SIDE} x {MIN_SIDE}"
    if max(width, height) > MAX_RATIO * min(width, height):
        return f"{width} x {height} pixels, expected one side at most {MAX_RATIO} times the other"
    return None


def bytes_fault(size: int, pixels: int) -> str | None:
    """Describe why a file of `size` bytes is too large for `pixels` pixels; None if it is accepted.

    Some formats allow redundant data, which takes time to decode and yields no pixels.
    """
    limit = 2**25 + 32 * pixels
    return f"{size:,} bytes for {pixels:,} pixels, expected at most {limit:,}" if size > limit else None
