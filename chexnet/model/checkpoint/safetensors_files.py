"""`.safetensors` files: named arrays, no code. The metadata of the weights and the seal are in `__metadata__`."""

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
from chexnet.model.checkpoint import checksum
from chexnet.model.checkpoint.metadata_file import format_metadata, parse_metadata

SAFETENSORS = ".safetensors"

_SEAL, _METADATA = "chexnet", "chexnet_metadata"
"""Entries of `__metadata__`, whose values are texts."""

BEGINNING = re.compile(rb".{3}[\0-\x05]\0{4}\{", re.DOTALL)
"""The length of a header below 100 MB, and its first character."""

_TYPES = {
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "?"},
    **{f"{letter}{8 * size}": f"<{kind}{size}" for letter, kind in (("I", "i"), ("U", "u")) for size in (1, 2, 4, 8)},
}
_BFLOAT16 = "BF16"


def is_safetensors(data: bytes) -> bool:
    """Whether a file of this content is one, by its first bytes."""
    return bool(BEGINNING.match(data)) and int.from_bytes(data[:8], "little") <= len(data) - 8


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a `.safetensors` file, see `parse`. Raises InputError."""
    data = read_bytes(path)
    if not is_safetensors(data):
        raise InputError(f"{path}: not a readable safetensors file: it does not begin with a header")
    return parse(data, path)[0]


def parse(data: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Reads the content of a `.safetensors` file, see `is_safetensors`; the checksum of those of `write` is verified.

    Returns:
        Name -> array, of the types in the file (bfloat16 becomes float32, which holds the same numbers); and the
        metadata of these weights, None if the file holds none.

    Raises:
        InputError: it is truncated, damaged, of a newer schema, or has numbers of a type that NumPy lacks.
    """
    from safetensors import SafetensorError, deserialize

    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")], f"{path}: its header")
    try:
        parts = dict(deserialize(data))
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {str(error)[:200]}") from error
    if others := sorted({part["dtype"] for part in parts.values()} - {*_TYPES, _BFLOAT16}):
        raise InputError(f"{path}: holds numbers of type {', '.join(others)}, expected F32, F16, BF16 or F64")
    try:
        arrays = {name: _array(part["data"], part["dtype"], part["shape"]) for name, part in parts.items()}
    except ValueError as error:  # more sides than NumPy can have, or sides of impossible lengths beside one of 0
        raise InputError(f"{path}: not a readable safetensors file: {str(error)[:200]}") from error
    entries = header.get("__metadata__") or {}
    found, text = entries.get(_SEAL, ""), entries.get(_METADATA, "")
    if found or text:
        checksum.check(found, _digest(arrays, text), path)
    return arrays, parse_metadata(text.encode(), path) if text else None


def write(
    arrays: Mapping[str, np.ndarray], path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> str:
    """Writes arrays in C order, whole or not at all; the same arrays and metadata give the same bytes.

    Args:
        arrays: name -> array.
        path: the file, replaced if it exists.
        metadata: what JSON can hold; None to store none.

    Returns:
        The SHA-256 of the file's bytes, in hexadecimal.

    Raises:
        InputError: the file cannot be written, or `metadata` is too large; what stood there before is unchanged.
    """
    from safetensors.numpy import save

    text = "" if metadata is None else format_metadata(metadata, path)
    entries = {_SEAL: checksum.checksum(_digest(arrays, text), bool(text)), **({_METADATA: text} if text else {})}
    content = _in_order(save(dict(arrays), metadata=entries), entries)
    parse(content, path)  # what could not be read is not written
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _array(data: bytes, kind: str, shape: list[int]) -> np.ndarray:
    if kind == _BFLOAT16:  # the upper half of a float32
        bits = np.frombuffer(data, "<u2").astype("<u4") << 16
        return bits.view("<f4").reshape(shape)
    return np.frombuffer(data, _TYPES[kind]).reshape(shape)


def _in_order(content: bytes, entries: Mapping[str, str]) -> bytes:
    """A file with `entries` in their order, which the package safetensors leaves to chance."""
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
