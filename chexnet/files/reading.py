"""Contents and checksums of whole files."""

import hashlib
import os
from pathlib import Path

from chexnet.errors import InputError


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a whole file. Raises InputError if it cannot be read or does not fit into memory."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise InputError(f"{path}: cannot be read: there is not enough memory for a file of its size") from error


def sha256(path: str | os.PathLike[str]) -> str:
    """Compute the SHA-256 of a file's bytes, in hexadecimal. Raises InputError if it cannot be read."""
    digest = hashlib.sha256()  # not `hashlib.file_digest`, which needs Python 3.11
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()
