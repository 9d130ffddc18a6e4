"""`.safetensors` files: named arrays, no code. The seal is in the metadata."""

import hashlib
import os
from collections.abc import Mapping

import numpy as np

from chexnet.checkpoint import seal
from chexnet.errors import InputError
from chexnet.files import replacing

SAFETENSORS = ".safetensors"

_SEAL = "chexnet"
"""The only entry of the metadata: the order of several is left to chance by the package safetensors."""


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a `.safetensors` file of any origin; files of `write` have a checksum, which is verified.

    Returns:
        Name -> array, of the types in the file.

    Raises:
        InputError: the file is missing, truncated, damaged, of a newer schema, or has numbers of a type that
            NumPy lacks, such as bfloat16.
    """
    from safetensors import SafetensorError, safe_open

    types: set[str] = set()
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            types = {file.get_slice(name).get_dtype() for name in names}
            arrays = {name: file.get_tensor(name) for name in names}
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable safetensors file (truncated or damaged)") from error
    except (TypeError, AttributeError) as error:  # NumPy has no such type
        raise InputError(
            f"{path}: holds numbers of type {', '.join(sorted(types))}, expected F32, F16 or F64"
        ) from error
    if _SEAL in metadata:
        seal.check(metadata[_SEAL], _digest(arrays), path)
    return arrays


def write(arrays: Mapping[str, np.ndarray], path: str | os.PathLike[str]) -> None:
    """Writes arrays in C order, whole or not at all; the same arrays give the same bytes.

    Raises:
        InputError: the file cannot be written; what stood there before is unchanged.
    """
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file(dict(arrays), temporary, metadata={_SEAL: seal.seal(_digest(arrays))})


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\n{array.dtype.str} {list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
