"""The line in every file of this package that holds its schema and the checksum of its content."""

import os
import re

from chexnet.errors import InputError

SCHEMA = 2
"""Newest schema: 1 holds arrays and plain values, 2 also the metadata of weights.

Increase it when an older version of this package would misread the new files.
"""


class CorruptFileError(InputError):
    """A file whose content has changed since it was saved."""


def format_line(digest: str, has_metadata: bool) -> str:
    """Format the line for content with this SHA-256, in hexadecimal."""
    return f"schema {2 if has_metadata else 1} sha256 {digest}"


def verify(line: str, digest: str, path: str | os.PathLike[str]) -> None:
    """Compare the line found in a file with the SHA-256 of the content that was read.

    Args:
        line: as `format_line` returns it.
        digest: SHA-256 of the content, in hexadecimal.
        path: the file, for errors.

    Raises:
        CorruptFileError: the checksums differ.
        InputError: a newer version of this package wrote the file.
    """
    found = re.fullmatch(r"schema (\d{1,9}) sha256 ([0-9a-f]{64})", line)
    if found and not 1 <= int(found[1]) <= SCHEMA:
        raise InputError(
            f"{path}: written with schema {int(found[1])}, expected at most {SCHEMA}: update this package to read it"
        )
    if not found or found[2] != digest:
        raise CorruptFileError(
            f"{path}: damaged: its content does not match its checksum; copy or download it again, or use an older file"
        )
