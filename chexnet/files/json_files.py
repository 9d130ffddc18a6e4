"""Strict reading of JSON files from any source, in bounded time and memory."""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

from chexnet.errors import InputError

MAX_BYTES = 32 << 20
"""The largest JSON that this package writes lists the hashes of a million training images in a few MB."""

MAX_VALUES = 500_000
"""Limit on commas, colons and opening brackets in a file: a `{}` takes twenty times its size in memory."""

MAX_DEPTH = 32

_MAX_DIGITS = 18


def read_json(path: str | os.PathLike[str], max_values: int = MAX_VALUES) -> Any:
    """Read a JSON file that follows RFC 8259: UTF-8, no NaN or Infinity, and no duplicate names in an object.

    Args:
        path: JSON file.
        max_values: limit on values, see MAX_VALUES.

    Raises:
        InputError: the file is missing, is not such JSON, or exceeds MAX_BYTES, `max_values` or MAX_DEPTH.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_json(data, path, max_values)


def parse_json(data: bytes, source: str | os.PathLike[str], max_values: int = MAX_VALUES) -> Any:
    """Parse bytes as `read_json` does; errors name `source`."""
    try:
        return _parse(data, max_values)
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not readable as JSON: byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise InputError(f"{source}: not readable as JSON: {_TOO_DEEP}") from error
    except ValueError as error:
        raise InputError(f"{source}: not readable as JSON: {error}") from error


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file that contains one JSON object. Raises InputError as `read_json`, or for any other value."""
    return _checked_object(read_json(path), Path(path))


def parse_object(data: bytes, source: str | os.PathLike[str]) -> dict[str, Any]:
    """Parse bytes that contain one JSON object. Raises InputError as `parse_json`, or for any other value."""
    return _checked_object(parse_json(data, source), source)


def _checked_object(value: Any, source: str | os.PathLike[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{source}: contains a JSON {type(value).__name__}, expected an object")
    return value


_TOO_DEEP = f"objects and lists are nested more than {MAX_DEPTH} deep"


def _parse(data: bytes, max_values: int) -> Any:
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES >> 20} MB")
    if sum(data.count(mark) for mark in (b",", b":", b"{", b"[")) > max_values:
        raise ValueError(f"it has more than {max_values:,} values")
    value = json.loads(
        data.decode("utf-8-sig"),
        object_pairs_hook=_object,
        parse_int=_parse_int,
        parse_float=_parse_float,
        parse_constant=_refuse_constant,
    )
    _check(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"{name[:60]!r} appears twice in one object")
        result[name] = value
    return result


def _parse_int(text: str) -> int:
    digits = len(text.lstrip("-"))
    if digits > _MAX_DIGITS:
        raise ValueError(f"a whole number of {digits} digits, expected at most {_MAX_DIGITS}")
    return int(text)


def _parse_float(text: str) -> float:
    value = float(text)
    if abs(value) == float("inf"):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _check(value: Any) -> None:
    """Raise ValueError if values are nested too deeply, or a string contains a lone surrogate, which UTF-8 lacks."""
    parts = [(value, 0)]
    while parts:
        part, depth = parts.pop()
        if depth > MAX_DEPTH:
            raise ValueError(_TOO_DEEP)
        if isinstance(part, dict):
            parts += [(inner, depth + 1) for pair in part.items() for inner in pair]
        elif isinstance(part, list):
            parts += [(inner, depth + 1) for inner in part]
        elif (
            isinstance(part, str)
            and not part.isascii()
            and any("\ud800" <= character <= "\udfff" for character in part)
        ):
            raise ValueError("a string contains half of a surrogate pair")
