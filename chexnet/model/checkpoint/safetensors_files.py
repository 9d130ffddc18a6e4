"""`.safetensors` files: named arrays, no code. `__metadata__` holds the metadata of the weights and a checksum line."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from chexnet.errors import InputError
from chexnet.files import atomic_write, read_bytes
from chexnet.files.json_files import parse_json
from chexnet.model.checkpoint import checksum_line
from chexnet.model.checkpoint.metadata_file import format_metadata, parse_metadata

SAFETENSORS = ".safetensors"

_CHECKSUM_KEY, _METADATA_KEY = "chexnet", "chexnet_metadata"
"""Keys in `__metadata__`, whose values are strings."""

HEADER_START = re.compile(rb".{3}[\0-\x05]\0{4}\{", re.DOTALL)
"""The length of a header below 100 MB, and its first character."""

_DTYPES = {
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "?"},
    **{f"{letter}{8 * size}": f"<{kind}{size}" for letter, kind in (("I", "i"), ("U", "u")) for size in (1, 2, 4, 8)},
}
_BFLOAT16 = "BF16"


def is_safetensors(data: bytes) -> bool:
    """Return True if the first bytes are those of a safetensors file."""
    return bool(HEADER_START.match(data)) and int.from_bytes(data[:8], "little") <= len(data) - 8


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a `.safetensors` file, see `parse`. Raises InputError."""
    data = read_bytes(path)
    if not is_safetensors(data):
        raise InputError(f"{path}: not a readable safetensors file: it does not begin with a header")
    return parse(data, path)[0]


def parse(data: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Parse the content of a `.safetensors` file, see `is_safetensors`. The checksum of files of `write` is verified.

    Returns:
        Name -> array, of the dtypes in the file (bfloat16 becomes float32, which holds the same numbers); and the
        metadata of these weights, or None if the file holds none.

    Raises:
        InputError: the file is truncated, damaged, of a newer schema, or holds numbers of a dtype that NumPy lacks.
    """
    from safetensors import SafetensorError, deserialize

    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")], f"{path}: its header")
    try:
        parts = dict(deserialize(data))
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {str(error)[:200]}") from error
    if unsupported := sorted({part["dtype"] for part in parts.values()} - {*_DTYPES, _BFLOAT16}):
        raise InputError(f"{path}: holds numbers of dtype {', '.join(unsupported)}, expected F32, F16, BF16 or F64")
    try:
        arrays = {name: _array(part["data"], part["dtype"], part["shape"]) for name, part in parts.items()}
    except (
        ValueError
    ) as error:  # too many dimensions for NumPy, or dimensions of impossible lengths together with one of 0
        raise InputError(f"{path}: not a readable safetensors file: {str(error)[:200]}") from error
    entries = header.get("__metadata__") or {}
    line, text = entries.get(_CHECKSUM_KEY, ""), entries.get(_METADATA_KEY, "")
    if line or text:
        checksum_line.verify(line, _digest(arrays, text), path)
    return arrays, parse_metadata(text.encode(), path) if text else None


def write(
    arrays: Mapping[str, np.ndarray], path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> str:
    """Write arrays in C order, atomically; the same arrays and metadata give the same bytes.

    Args:
        arrays: name -> array.
        path: the file, replaced if it exists.
        metadata: JSON-serializable values; None to store none.

    Returns:
        The SHA-256 of the file's bytes, in hexadecimal.

    Raises:
        InputError: the file cannot be written, or `metadata` is too large. An existing file stays unchanged.
    """
    from safetensors.numpy import save

    text = "" if metadata is None else format_metadata(metadata, path)
    entries = {
        _CHECKSUM_KEY: checksum_line.format_line(_digest(arrays, text), bool(text)),
        **({_METADATA_KEY: text} if text else {}),
    }
    content = _order_metadata(save(dict(arrays), metadata=entries), entries)
    parse(content, path)  # so that only readable files are written
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _array(data: bytes, dtype: str, shape: list[int]) -> np.ndarray:
    if dtype == _BFLOAT16:  # the upper half of a float32
        bits = np.frombuffer(data, "<u2").astype("<u4") << 16
        return bits.view("<f4").reshape(shape)
    return np.frombuffer(data, _DTYPES[dtype]).reshape(shape)


def _order_metadata(content: bytes, entries: Mapping[str, str]) -> bytes:
    """Put `entries` into the header in their order, because the package safetensors writes them in random order."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps({**json.loads(content[8:start]), "__metadata__": entries}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # arrays begin at a multiple of 8
    return b"".join((len(header).to_bytes(8, "little"), header, memoryview(content)[start:]))


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\n{array.dtype.str} {list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    digest.update(text.encode())
    return digest.hexdigest()
