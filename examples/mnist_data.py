"""Reader of MNIST's IDX files."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from labeled_images import Images

from chexnet.errors import InputError

SIDE = 28

_IMAGES, _LABELS = b"\x00\x00\x08\x03", b"\x00\x00\x08\x01"
"""Magic numbers of unsigned bytes in three dimensions and in one dimension."""

_MAX_COUNT = 1_000_000
"""Images per file, more than any data set in this format has; a compressed file may announce billions."""


def read_folder(folder: str | os.PathLike[str]) -> tuple[Images, Images]:
    """Read the training and the test images of a folder with MNIST's four IDX files.

    The format is that of http://yann.lecun.com/exdb/mnist. Files may be compressed as `.gz`. Some sources write a dot
    instead of the second-to-last hyphen (`train-images.idx3-ubyte`).

    Raises:
        InputError: a file is missing, damaged, or of another format; or images and labels differ in number.
    """
    train, test = (_read_part(Path(folder), part) for part in ("train", "t10k"))
    return train, test


def _read_part(folder: Path, part: str) -> Images:
    images = _find(folder, f"{part}-images", "idx3-ubyte")
    labels = _find(folder, f"{part}-labels", "idx1-ubyte")
    pixels = _read_idx(images, _IMAGES, (SIDE, SIDE))
    classes = _read_idx(labels, _LABELS, ())
    if len(pixels) != len(classes):
        raise InputError(f"{labels}: {len(classes)} labels, expected one for each of the {len(pixels)} of {images}")
    if not len(classes):
        raise InputError(f"{images}: contains no images")
    if classes.max() > 9:
        row = int((classes > 9).argmax())
        raise InputError(f"{labels}: label {row + 1} is {classes[row]}, expected a digit, 0 to 9")
    return Images(pixels[:, None], classes.astype(np.int64))


def _find(folder: Path, stem: str, suffix: str) -> Path:
    names = [f"{stem}{joint}{suffix}{packed}" for joint in "-." for packed in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: contains no {names[0]} and no {names[1]}, expected MNIST's four files")


def _read_idx(path: Path, magic: bytes, item: tuple[int, ...]) -> np.ndarray:
    """Read the array of an IDX file: uint8 [N, *item]. Nothing is read beyond what the header announces."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = file.read(8 + 4 * len(item))
            if len(header) != 8 + 4 * len(item) or header[:4] != magic:
                raise InputError(f"{path}: begins with {header[:4]!r}, expected an IDX file: {magic!r}")
            count, *shape = struct.unpack_from(f">{1 + len(item)}I", header, 4)
            if tuple(shape) != item:
                raise InputError(f"{path}: images of {shape[0]} x {shape[1]}, expected {SIDE} x {SIDE}")
            if count > _MAX_COUNT:
                raise InputError(f"{path}: announces {count:,} items, expected at most {_MAX_COUNT:,}")
            size = int(np.prod(item, dtype=np.int64))
            data = file.read(count * size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if len(data) != count * size:
        found = "more" if len(data) > count * size else f"{len(data):,}"
        raise InputError(f"{path}: {found} bytes after the header, which announces {count * size:,}")
    return np.frombuffer(data, np.uint8).reshape(count, *item)
