"""`.pdparams` and similar files: a pickle that Paddle also reads, a line of metadata if any, then the checksum line.

`paddle.load` stops where the pickle ends, so it ignores the lines after it.
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
from chexnet.model.checkpoint import checksum_line, file_kinds, unpickling
from chexnet.model.checkpoint.checksum_line import CorruptFileError
from chexnet.model.checkpoint.metadata_file import format_metadata, parse_metadata
from chexnet.model.checkpoint.unpickling import NUMBERS, SCALARS

NAME_TABLE = "StructuredToParameterName@@"
"""Paddle's own entry in a saved state dict: structured name -> parameter name. It holds no weights."""

_METADATA = b"\nchexnet metadata "
_LAST_LINE = re.compile(rb"\nchexnet ([ -~]{1,100})\n\Z")


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Load a `.pdparams`, `.pdopt` or other file of `save` or of Paddle without executing anything in it.

    The checksum is verified before the content is parsed. Files that Paddle itself wrote have none.

    Returns:
        The dictionary in the file, arrays as `numpy.ndarray`, without Paddle's name table.

    Raises:
        CorruptFileError: the file is truncated, damaged or of another kind, which the message names.
        InputError: the file is missing, has a newer schema, asks to run code or is not a dictionary with string keys.
    """
    return parse(read_bytes(path), path)[0]


def parse(data: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Parse the content of `path` as `load` does. Returns the dictionary and its metadata, or None if there is none."""
    end = _verify_checksum(data, path)
    if error := file_kinds.identify_wrong_kind(path, data):
        raise error
    try:
        state, length = unpickling.read(data)
    except InputError as error:
        raise InputError(f"{path}: refused: {error}") from error
    except EOFError as error:
        raise CorruptFileError(f"{path}: not a readable Paddle weight file: it ends before its content does") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise CorruptFileError(
            f"{path}: not a readable Paddle weight file: {str(error)[:200] or type(error).__name__}"
        ) from error
    metadata = None
    if length != end:
        if end == len(data) or not data.startswith(_METADATA, length):
            raise CorruptFileError(
                f"{path}: {len(data) - length:,} bytes follow its content, expected none or its checksum"
            )
        metadata = parse_metadata(data[length + len(_METADATA) : end], path)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise InputError(f"{path}: holds a {type(state).__name__}, expected a dictionary of named arrays")
    state.pop(NAME_TABLE, None)
    return state, metadata


def save(state: Mapping[str, Any], path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> str:
    """Save values atomically; `load` returns them exactly, and `paddle.load` reads the file too.

    The same values give the same bytes. The last line of the file is its checksum line: the SHA-256 of all bytes before
    it.

    Args:
        state: name -> Paddle tensor, array of numbers, single value of `SCALARS`, or dictionary, list or tuple of
            these. bfloat16 becomes uint16 with the same bits, which Paddle reads as bfloat16.
        path: the file, replaced if it exists.
        metadata: JSON-serializable values, stored as one line after the pickle; None for no such line.

    Returns:
        The SHA-256 of the file's bytes, in hexadecimal.

    Raises:
        InputError: the file cannot be written, or `metadata` is too large. An existing file stays unchanged.
        TypeError: `state` holds a value of another type.
    """
    content = {**_to_builtin(state), NAME_TABLE: {}}
    block = b"" if metadata is None else _METADATA + format_metadata(metadata, path).encode()
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        writer = _HashingWriter(file)
        pickler = pickle.Pickler(writer, protocol=4)
        # Without a memo, so that the bytes do not depend on which equal strings are the same object.
        pickler.fast = True
        pickler.dump(content)
        writer.write(block + b"\n")
        writer.write(f"chexnet {checksum_line.format_line(writer.digest.hexdigest(), bool(block))}\n".encode())
    return writer.digest.hexdigest()


def _verify_checksum(data: bytes, path: str | os.PathLike[str]) -> int:
    """Verify the checksum line, if there is one. Returns the position where the pickle and the metadata end."""
    last_line = _LAST_LINE.search(data, max(0, len(data) - 200))
    if last_line is None:
        return len(data)
    content = memoryview(data)[: last_line.start() + 1]
    checksum_line.verify(last_line[1].decode(), hashlib.sha256(content).hexdigest(), path)
    return last_line.start()


class _HashingWriter:
    """A file for writing that hashes the bytes written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)


def _to_builtin(value: Any) -> Any:
    """Convert to plain containers, arrays in C order and native byte order, and Python numbers."""
    if isinstance(value, Mapping):
        if invalid := [key for key in value if type(key) not in SCALARS]:
            raise TypeError(f"{invalid[0]!r} cannot be a key in a weight file")
        return {key: _to_builtin(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_to_builtin(inner) for inner in value]
    if isinstance(value, tuple):
        return tuple(_to_builtin(inner) for inner in value)
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.str[1:] in NUMBERS:
        return value.astype(value.dtype.newbyteorder("="), order="C", copy=False, subok=False)
    if type(value) in SCALARS:
        return value
    raise TypeError(f"a {type(value).__name__} cannot be stored in a weight file")
