"""`.safetensors` files: named arrays, no code. The seal is in the metadata."""

import hashlib
import os
import re
from collections.abc import Mapping

import numpy as np

from chexnet.checkpoint import seal
from chexnet.errors import InputError
from chexnet.files import read_bytes, replacing
from chexnet.json_files import parse_json

SAFETENSORS = ".safetensors"

_SEAL = "chexnet"
"""The only entry of the metadata: the order of several is left to chance by the package safetensors."""

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
    return parse(data, path)


def parse(data: bytes, path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the content of a `.safetensors` file, see `is_safetensors`; the checksum of those of `write` is verified.

    Returns:
        Name -> array, of the types in the file; bfloat16 becomes float32, which holds the same numbers.

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
    if found := header.get("__metadata__", {}).get(_SEAL):
        seal.check(found, _digest(arrays), path)
    return arrays


def write(arrays: Mapping[str, np.ndarray], path: str | os.PathLike[str]) -> str:
    """Writes arrays in C order, whole or not at all; the same arrays give the same bytes.

    Returns:
        The SHA-256 of the file's bytes, in hexadecimal.

    Raises:
        InputError: the file cannot be written; what stood there before is unchanged.
    """
    from safetensors.numpy import save

    content = save(dict(arrays), metadata={_SEAL: seal.seal(_digest(arrays))})
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _array(data: bytes, kind: str, shape: list[int]) -> np.ndarray:
    if kind == _BFLOAT16:  # the upper half of a float32
        bits = np.frombuffer(data, "<u2").astype("<u4") << 16
        return bits.view("<f4").reshape(shape)
    return np.frombuffer(data, _TYPES[kind]).reshape(shape)


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\n{array.dtype.str} {list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
