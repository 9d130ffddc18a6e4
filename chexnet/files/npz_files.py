"""Arrays of .npz files from any source, read in blocks and without pickles."""

import ast
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from chexnet.errors import InputError

_BLOCK_BYTES = 2**24
_MAX_HEADER = 10_000


@dataclass(frozen=True)
class NpzArray:
    """An array in a .npz file.

    Attributes:
        path: the file.
        key: name of the array.
        shape: its shape.
        dtype: its type of numbers.
    """

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the array in blocks of rows of about 16 MB.

        Raises:
            InputError: the file is damaged or shorter than its header says.
        """
        row = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        step = max(1, _BLOCK_BYTES // max(1, row))
        with _open(self.path) as archive, archive.open(f"{self.key}.npy") as file:
            _read_header(file, self.path, self.key)
            for start in range(0, self.shape[0], step):
                count = min(step, self.shape[0] - start)
                data = file.read(count * row)
                if len(data) != count * row:
                    raise InputError(
                        f"{self.path}: {self.key} ends after row {start + len(data) // max(1, row):,}, expected "
                        f"{self.shape[0]:,} rows"
                    )
                yield np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])


def read_npz(path: str | os.PathLike[str]) -> dict[str, NpzArray]:
    """Return the arrays of a .npz file by name. Only their headers are read.

    Raises:
        InputError: the file is missing, not a .npz file, or an array has objects, text, or columns before rows.
    """
    path = Path(path)
    arrays = {}
    with _open(path) as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as file:
                    key = name.removesuffix(".npy")
                    arrays[key] = NpzArray(path, key, *_read_header(file, path, key))
    return arrays


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError) as error:
        raise InputError(f"{path}: not a .npz file or damaged: {error}") from error


def _read_header(file: IO[bytes], path: Path, key: str) -> tuple[tuple[int, ...], np.dtype]:
    """Read the header of an array (NEP 1)."""
    magic = file.read(8)
    length_form = {1: "<H", 2: "<I", 3: "<I"}.get(magic[6] if len(magic) == 8 else 0)
    if magic[:6] != b"\x93NUMPY" or length_form is None:
        raise InputError(f"{path}: {key} is not a NumPy array, expected one written by numpy.savez")
    raw_length = file.read(struct.calcsize(length_form))
    length = struct.unpack(length_form, raw_length)[0] if len(raw_length) == struct.calcsize(length_form) else 0
    text = file.read(length) if length <= _MAX_HEADER else b""
    try:
        header = ast.literal_eval(text.decode("latin-1").strip())  # literals only, no code is run
        shape, order, dtype = tuple(header["shape"]), header["fortran_order"], np.dtype(header["descr"])
        valid = all(isinstance(size, int) and 0 <= size < 2**40 for size in shape) and len(shape) > 0
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise InputError(f"{path}: {key} has a damaged header") from error
    if not valid or order or dtype.kind not in "biuf":
        raise InputError(f"{path}: {key} is {dtype} {list(shape)}, expected numbers, row by row")
    return shape, dtype
