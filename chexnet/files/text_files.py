"""Text files in the encodings that common programs write, plain or compressed with gzip (.gz)."""

import codecs
import gzip
import os
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

from chexnet.errors import InputError, InputWarning

MAX_BYTES = 2**28
"""Default limit on the uncompressed text. The largest label files have about 100 MB; 300 KB of gzip expand to this."""

_BLOCK = 2**20
"""Bytes to read at a time: `read(MAX_BYTES)` would allocate all of them."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; of two with the same beginning, the longer one comes first."""

_BEGINNINGS = {
    b"\x1f\x8b": "compressed with gzip; give it a name that ends in .gz",
    b"PK\x03\x04": "a zip file, for example an Excel workbook (.xlsx); save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook (.xls) or another Office file; save the sheet as CSV",
    b"PAR1": "a Parquet file; save the table as CSV",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"<!DOCTYPE": "a web page, not the file that it offers",
    b"<html": "a web page, not the file that it offers",
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with git lfs pull",
}


def read_text(path: str | os.PathLike[str], what: str, max_bytes: int = MAX_BYTES) -> str:
    """Read a text file, without its byte order mark and with `\\n` as line end.

    UTF-8 is recognized, and so are UTF-16 and UTF-32 with a byte order mark. For any other text, `_guess` chooses
    between GB18030 (which includes GBK and GB2312) and Windows-1252 (nearly Latin-1) and issues an `InputWarning`.

    Args:
        path: text file; one that ends in .gz is decompressed.
        what: kind of file that is expected, for messages.
        max_bytes: maximum size, uncompressed.

    Raises:
        InputError: the file is missing, damaged, not text, or larger than `max_bytes`.
    """
    data = _read_bytes(Path(path), what, max_bytes)
    for beginning, kind in _BEGINNINGS.items():
        if data.startswith(beginning):
            raise InputError(f"{path}: is {kind}; expected a {what}")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise InputError(
                f"{path}: begins like {encoding.upper()} text but is not (byte {error.start}), expected a {what}"
            ) from error
        text = _guess(data, path, what)
    if "\0" in text:
        position = text.index("\0") + 1
        raise InputError(
            f"{path}: not a text file (character {position} is NUL; UTF-16 needs its byte order mark), "
            f"expected a {what}"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def shorten(text: str, limit: int = 60) -> str:
    """Quote a text for a message, as `repr` does, shortened to about `limit` characters.

    >>> shorten("Edema"), len(shorten("0" * 10**7)) < 100
    ("'Edema'", True)
    """
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}... ({len(text):,} characters)"


def shorten_all(names: Sequence[str], limit: int = 20) -> str:
    """List names for a message, at most `limit` of them.

    >>> shorten_all(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    listed = ", ".join(name if len(name) <= 60 else f"{name[:60]}..." for name in names[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit:,} more"


def _read_bytes(path: Path, what: str, max_bytes: int) -> bytearray:
    """Return all bytes of a file, decompressed."""
    opener = gzip.open if path.suffix == ".gz" else open
    data = bytearray()
    try:
        with opener(path, "rb") as file:
            while len(data) <= max_bytes and (block := file.read(_BLOCK)):
                data += block
    except (OSError, EOFError, ValueError, zlib.error) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: the {what} cannot be read: {reason}") from error
    if len(data) > max_bytes:
        raise InputError(
            f"{path}: contains more than {max_bytes // 2**20} MiB, expected a {what}; keep only the needed part"
        )
    return data


_CHINESE = re.compile(rb"(?:[\xb0-\xf7][\xa1-\xfe]|[\xa1-\xa9][\xa1-\xfe])+")
_HIGH = re.compile(rb"[\x80-\xff]")


def _guess(data: bytearray, path: str | os.PathLike[str], what: str) -> str:
    """Decode bytes that are not UTF-8.

    In GB18030, nearly all bytes of 0x80 and above come in pairs that encode the characters of GB2312. In Windows-1252
    they are accented letters, mostly single ones between ASCII letters.
    """
    high = len(_HIGH.findall(data))
    paired = sum(len(match) for match in _CHINESE.findall(data))
    encodings = ("gb18030", "cp1252") if paired >= 0.8 * high else ("cp1252", "gb18030")
    controls = re.search(rb"[\x00-\x08\x0e-\x1f]", data)
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if controls is None:
            name = {"gb18030": "GB18030 (GBK)", "cp1252": "Windows-1252 (Latin-1)"}[encoding]
            warnings.warn(
                f"{path}: is not UTF-8 and was read as {name}; if its names look wrong, save it as UTF-8",
                InputWarning,
                stacklevel=3,
            )
            return text
    position = controls.start() if controls else next(iter(_HIGH.finditer(data))).start()
    raise InputError(f"{path}: not a text file (byte {position} is {data[position]:#04x}), expected a {what}")
