"""Readers of CIFAR-10's archive, and of other images at its size."""

import os
import pickletools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from labeled_images import Images
from PIL import Image, ImageOps

from chexnet.data import images
from chexnet.data.download import unpack
from chexnet.errors import InputError
from chexnet.model.checkpoint import unpickling

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
PADDING = 4
ARCHIVE = "cifar-10-python.tar.gz"

_FOLDER = "cifar-10-batches-py"
_PYTHON_3_OPCODES = {"SHORT_BINSTRING": b"\x8c", "BINSTRING": b"B"}  # SHORT_BINUNICODE, BINBYTES


def read_archive(path: str | os.PathLike[str]) -> tuple[Images, Images]:
    """Read the training and the test images of CIFAR-10's archive for Python, or of the folder with its contents.

    The format is that of https://www.cs.toronto.edu/~kriz/cifar.html. No code in the files is executed.

    Raises:
        InputError: the archive is missing or damaged, has no batches or contains code, or a batch contains anything but
            images of 32 x 32 pixels with labels from 0 to 9.
    """
    if Path(path).is_dir():
        inner = Path(path) / _FOLDER
        return _read_folder(inner if inner.is_dir() else Path(path), str(path))
    if not Path(path).is_file():
        raise InputError(f"{path}: no such archive, expected {ARCHIVE}; without --data Paddle downloads it")
    with tempfile.TemporaryDirectory() as root:
        unpack(path, root, lambda done, total: None)
        return _read_folder(Path(root) / _FOLDER, str(path))


def _read_folder(folder: Path, origin: str) -> tuple[Images, Images]:
    parts = [sorted(folder.glob(pattern)) for pattern in ("data_batch_[0-9]", "test_batch")]
    if not all(parts):
        raise InputError(
            f"{origin}: has no data_batch_1 or no test_batch, expected CIFAR-10's archive for Python ({ARCHIVE}) or "
            f"the folder {_FOLDER} with its contents, not the binary archive or MATLAB's"
        )
    train, test = ([_read_batch(file, f"{origin}: {file.name}") for file in files] for files in parts)
    return _joined(train), _joined(test)


def download() -> Path:
    """Return the archive in the cache of Paddle's CIFAR-10 class, which downloads it if it is missing.

    Raises:
        InputError: the download failed.
    """
    from paddle.vision.datasets import Cifar10

    try:
        return Path(Cifar10(mode="test").data_file)  # Paddle checks its MD5 first
    except Exception as error:  # from the network or the file system, of any type
        raise InputError(
            f"CIFAR-10 could not be downloaded; download {ARCHIVE} elsewhere and pass it as --data FILE"
        ) from error


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the central square of any image file, resized to uint8 [3, 32, 32].

    Raises:
        InputError: see `chexnet.data.images.open_image`.
    """
    image = images.open_image(path)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip instead of scaling
        image = images.to_gray(image)
    square = ImageOps.fit(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(square).transpose(2, 0, 1)


def augmented(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images uint8 [B, 3, 32, 32], each padded by 4 black pixels and cropped at random, half of them flipped.

    As in He et al., CVPR 2016, section 4.2.
    """
    edge = (PADDING, PADDING)
    padded = np.pad(pixels, ((0, 0), (0, 0), edge, edge))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE), axis=(2, 3))  # [B, 3, 9, 9, 32, 32]
    top, left = rng.integers(0, 2 * PADDING + 1, (2, len(pixels)))
    cropped = windows[np.arange(len(pixels)), :, top, left]  # [B, 3, 32, 32]
    flipped = rng.random(len(pixels)) < 0.5
    return np.where(flipped[:, None, None, None], cropped[..., ::-1], cropped)


def _read_batch(file: Path, where: str) -> Images:
    try:
        data = _to_python_3(file.read_bytes())
        content, length = unpickling.read(data)
    except InputError as error:
        raise InputError(f"{where}: refused: {error}") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise InputError(f"{where}: not a batch of CIFAR-10: {str(error) or type(error).__name__}") from error
    if length != len(data) or not _is_batch(content):
        raise InputError(f"{where}: not a batch of CIFAR-10, expected bytes [N, 3072] as data and N labels from 0 to 9")
    pixels = content["data"].reshape(-1, 3, SIDE, SIDE)
    return Images(pixels, np.array(content["labels"], np.int64))


def _to_python_3(data: bytes) -> bytes:
    """Convert a pickle of Python 2 to Python 3: strings up to 255 bytes become str, longer ones bytes.

    Both kinds have the same layout in both versions of Python, so one byte per string changes. No code is executed.
    """
    changed = bytearray(data)
    for instruction, _, position in pickletools.genops(data):
        if instruction.name in _PYTHON_3_OPCODES and position is not None:
            changed[position : position + 1] = _PYTHON_3_OPCODES[instruction.name]
    return bytes(changed)


def _is_batch(content: Any) -> bool:
    if not isinstance(content, dict):
        return False
    data, labels = content.get("data"), content.get("labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * SIDE * SIDE,):
        return False
    known = range(len(CLASSES))
    return (
        isinstance(labels, list)
        and 0 < len(labels) == len(data)
        and all(type(label) is int and label in known for label in labels)
    )


def _joined(parts: list[Images]) -> Images:
    return Images(np.concatenate([part.pixels for part in parts]), np.concatenate([part.labels for part in parts]))
