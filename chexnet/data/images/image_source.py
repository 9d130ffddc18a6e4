"""Image files on disk or in memory."""

import io
import os
from dataclasses import dataclass
from typing import BinaryIO, cast


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
