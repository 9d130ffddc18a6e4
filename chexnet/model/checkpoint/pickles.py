"""`.pdparams` files and their like: a pickle that Paddle reads too, then a line of metadata if any, then the seal.

`paddle.load` stops where the pickle ends, and so ignores the lines after it.
"""

import hashlib
import os
import pickle
import re
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from chexnet.errors import InputError
from chexnet.files import atomic_write, read_bytes
from chexnet.model.checkpoint import checksum, file_kinds, unpickling
from chexnet.model.checkpoint.metadata_file import format_metadata, parse_metadata
from chexnet.model.checkpoint.unpickling import NUMBERS, SCALARS

NAME_TABLE = "StructuredToParameterName@@"
"""Paddle's own entry in a saved state dict: structured name -> parameter name. It holds no weights."""

_METADATA = b"\nchexnet metadata "
_LAST_LINE = re.compile(rb"\nchexnet ([ -~]{1,100})\n\Z")


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a `.pdparams`, `.pdopt` or other file of `save` or of Paddle without executing anything in it.

    A checksum is verified before anything else is made of the content; files of Paddle itself have none.

    Returns:
        The dictionary in the file, arrays as `numpy.ndarray`, without Paddle's name table.

    Raises:
        Damaged: the file is truncated, damaged or something else, which is named.
        InputError: it is missing, of a newer schema, asks to run code or is not a dictionary of strings.
    """
    return parse(read_bytes(path), path)[0]


def parse(data: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Parses the content of `path` as `load` does; gives its metadata as well, None if it holds none."""
    end = _verified_end(data, path)
    if refusal := file_kinds.refusal(path, data):
        raise refusal
    try:
        state, length = unpickling.read(data)
    except InputError as error:
        raise InputError(f"{path}: refused: {error}") from error
    except EOFError as error:
        raise checksum.CorruptFileError(
            f"{path}: not a readable Paddle weight file: it ends before its content does"
        ) from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise checksum.CorruptFileError(
            f"{path}: not a readable Paddle weight file: {str(error)[:200] or type(error).__name__}"
        ) from error
    metadata = None
    if length != end:
        if end == len(data) or not data.startswith(_METADATA, length):
            raise checksum.CorruptFileError(
                f"{path}: {len(data) - length:,} bytes follow its content, expected none or its checksum"
            )
        metadata = parse_metadata(data[length + len(_METADATA) : end], path)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise InputError(f"{path}: holds a {type(state).__name__}, expected a dictionary of named arrays")
    state.pop(NAME_TABLE, None)
    return state, metadata


def save(state: Mapping[str, Any], path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> str:
    """Writes values that `load` gives back exactly, whole or not at all. `paddle.load` reads the file too.

    The same values give the same bytes. The last line of the file is its seal: the SHA-256 is that of all
    lines before it.

    Args:
        state: names -> Paddle tensors, arrays of numbers, single values of `SCALARS`, or dictionaries, lists
            and tuples of these. bfloat16 becomes uint16 with the same bits, which Paddle takes for bfloat16.
        path: the file, replaced if it exists.
        metadata: what JSON can hold, stored as one line after the pickle; None for no such line.

    Returns:
        The SHA-256 of the file's bytes, in hexadecimal.

    Raises:
        InputError: the file cannot be written, or `metadata` is too large; what stood there before is unchanged.
        TypeError: `state` holds something else.
    """
    content = {**_plain(state), NAME_TABLE: {}}
    block = b"" if metadata is None else _METADATA + format_metadata(metadata, path).encode()
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        hashed = _Hashed(file)
        pickler = pickle.Pickler(hashed, protocol=4)
        # Without a memo: else the bytes would depend on which of the equal strings are one object.
        pickler.fast = True
        pickler.dump(content)
        hashed.write(block + b"\n")
        hashed.write(f"chexnet {checksum.checksum(hashed.digest.hexdigest(), bool(block))}\n".encode())
    return hashed.digest.hexdigest()


def _verified_end(data: bytes, path: str | os.PathLike[str]) -> int:
    """Where the pickle must end, if the seal, which may be missing, is that of the content."""
    last_line = _LAST_LINE.search(data, max(0, len(data) - 200))
    if last_line is None:
        return len(data)
    content = memoryview(data)[: last_line.start() + 1]
    checksum.check(last_line[1].decode(), hashlib.sha256(content).hexdigest(), path)
    return last_line.start()


class _Hashed:
    """A file to write to that hashes what goes by."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)


def _plain(value: Any) -> Any:
    """The same values as plain containers, arrays in C order and native byte order, and Python's own numbers."""
    if isinstance(value, Mapping):
        if unusable := [key for key in value if type(key) not in SCALARS]:
            raise TypeError(f"{unusable[0]!r} cannot be a key in a weight file")
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, tuple):
        return tuple(_plain(inner) for inner in value)
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.str[1:] in NUMBERS:
        return value.astype(value.dtype.newbyteorder("="), order="C", copy=False, subok=False)
    if type(value) in SCALARS:
        return value
    raise TypeError(f"a {type(value).__name__} cannot be stored in a weight file")
