"""What every file written here carries: the version of its layout, and the checksum of its content."""

import os
import re

from chexnet.errors import InputError

SCHEMA = 2
"""Newest version of the layout: 1 holds arrays and plain values, 2 also the metadata of weights. Raise it when an older
program would misread what is written."""


class CorruptFileError(InputError):
    """A file whose content is not what was written."""


def checksum(digest: str, has_metadata: bool) -> str:
    """The text for a file whose content has this SHA-256, in hexadecimal."""
    return f"schema {2 if has_metadata else 1} sha256 {digest}"


def check(text: str, digest: str, path: str | os.PathLike[str]) -> None:
    """Compares a seal found in `path` with the SHA-256 of the content that was read.

    Raises:
        Damaged: the content is not what was written.
        InputError: it was written by a newer program.
    """
    found = re.fullmatch(r"schema (\d{1,9}) sha256 ([0-9a-f]{64})", text)
    if found and not 1 <= int(found[1]) <= SCHEMA:
        raise InputError(
            f"{path}: written with schema {int(found[1])}, expected at most {SCHEMA}: update this program to read it"
        )
    if not found or found[2] != digest:
        raise CorruptFileError(
            f"{path}: damaged: its checksum is not that of its content; copy or download it again, or use an older one"
        )
