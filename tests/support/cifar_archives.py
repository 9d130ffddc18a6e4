"""Archives of synthetic images in the format of CIFAR-10, with the same pickles as those of Python 2."""

import io
import struct
import tarfile
from pathlib import Path

import numpy as np

CLASSES = (*("airplane", "automobile", "bird", "cat", "deer"), *("dog", "frog", "horse", "ship", "truck"))


def text(value: bytes) -> bytes:
    """Return a string as cPickle of Python 2 writes it: in the long form if it has 256 bytes or more."""
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


def number(value: int) -> bytes:
    return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)


def array(pixels: np.ndarray) -> bytes:
    """Return uint8 [N, 3072] as cPickle of Python 2 and NumPy of that time write it."""
    rows, columns = pixels.shape
    return (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85" + text(b"b") + b"\x87Rq\x08"
        b"(K\x01" + number(rows) + number(columns) + b"\x86cnumpy\ndtype\nq\x09" + text(b"u1") + b"K\x00K\x01\x87Rq\x0a"
        b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + text(pixels.tobytes()) + b"tb"
    )


def batch(pixels: np.ndarray, labels: list[int], title: str = "training batch 1 of 5") -> bytes:
    """Return a batch file: a pickle of protocol 2 with its entries in the original order."""
    names = b"".join(text(f"{CLASSES[label % 10]}_s_{row:06d}.png".encode()) for row, label in enumerate(labels))
    return (
        b"\x80\x02}q\x01("
        + (text(b"batch_label") + b"q\x02" + text(title.encode()) + b"q\x03")
        + (text(b"labels") + b"q\x04]q\x05(" + b"".join(map(number, labels)) + b"e")
        + (text(b"data") + array(pixels))
        + (text(b"filenames") + b"](" + names + b"e")
        + b"u."
    )


def pack(path: Path, files: dict[str, bytes], folder: str = "cifar-10-batches-py") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def some_images(count: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """Return noise [count, 3072] whose brightness and color depend on the class, and the classes."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).tolist()
    level = np.array([[40 + 20 * label, 230 - 20 * label, 60 * (label % 4)] for label in labels])
    pixels = np.clip(level[:, :, None] + rng.integers(-20, 21, (count, 3, 1024)), 0, 255).astype(np.uint8)
    return pixels.reshape(count, 3072), labels


def small_files(batch_size: int = 32, tests: int = 40) -> dict[str, bytes]:
    files = {
        f"data_batch_{index}": batch(*some_images(batch_size, index), f"training batch {index} of 5")
        for index in range(1, 6)
    }
    meta = b"\x80\x02}q\x01(" + text(b"num_cases_per_batch") + number(batch_size) + text(b"label_names") + b"]("
    meta += b"".join(text(name.encode()) for name in CLASSES) + b"e" + text(b"num_vis") + number(3072) + b"u."
    return {"batches.meta": meta, **files, "readme.html": b"<html>", "test_batch": batch(*some_images(tests, 9))}


def gadget_batch(module: bytes, name: bytes) -> bytes:
    return b"\x80\x02c" + module + b"\n" + name + b"\n" + text(b"touch gadget_was_run") + b"\x85R."
