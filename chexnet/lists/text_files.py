"""Text files, as they are or packed with gzip (.gz)."""

import gzip
import os
import zlib
from pathlib import Path

from chexnet.errors import InputError


def read_text(path: str | os.PathLike[str], what: str) -> str:
    """All of a UTF-8 file, without a byte order mark, its line ends as `\\n`.

    Args:
        path: the file; one that ends in .gz is unpacked.
        what: it is expected to be, for the message.

    Raises:
        InputError: it is missing, not text, or damaged.
    """
    path = Path(path)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file (byte {error.start} is not UTF-8), expected a {what}") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: the {what} cannot be read: {reason}") from error
