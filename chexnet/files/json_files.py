"""JSON from disk, of whatever origin: read strictly, in bounded time and memory."""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

from chexnet.errors import InputError

MAX_BYTES = 32 << 20
"""The largest JSON of this software says which of a million images a checkpoint was trained on, in a few MB."""

MAX_VALUES = 500_000
"""Values in one file, counted by the commas, colons and opening brackets in it: a `{}` takes twenty times its bytes."""

MAX_DEPTH = 32

_MAX_DIGITS = 18


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file as RFC 8259 has it: UTF-8, no NaN or Infinity, and no name twice in one object.

    Raises:
        InputError: the file is missing, no such JSON, or has more than MAX_BYTES, MAX_VALUES or MAX_DEPTH.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_json(data, path)


def parse_json(data: bytes, source: str | os.PathLike[str]) -> Any:
    """The same of bytes; `source` is named in errors."""
    try:
        return _parse(data)
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not readable as JSON: byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise InputError(f"{source}: not readable as JSON: {_TOO_DEEP}") from error
    except ValueError as error:
        raise InputError(f"{source}: not readable as JSON: {error}") from error


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a file that holds one JSON object. Raises InputError as `read_json`, or if it holds something else."""
    return _checked_object(read_json(path), Path(path))


def parse_object(data: bytes, source: str | os.PathLike[str]) -> dict[str, Any]:
    """Parses bytes that hold one JSON object. Raises InputError as `parse_json`, or if they hold something else."""
    return _checked_object(parse_json(data, source), source)


def _checked_object(found: Any, source: str | os.PathLike[str]) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise InputError(f"{source}: holds a JSON {type(found).__name__}, expected an object")
    return found


_TOO_DEEP = f"objects and lists stand in each other more than {MAX_DEPTH} deep"


def _parse(data: bytes) -> Any:
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES >> 20} MB")
    if sum(data.count(mark) for mark in (b",", b":", b"{", b"[")) > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES:,} values")
    value = json.loads(
        data.decode("utf-8-sig"),
        object_pairs_hook=_object,
        parse_int=_whole_number,
        parse_float=_number,
        parse_constant=_no_number,
    )
    _check(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:60]!r} stands twice in one object")
        found[name] = value
    return found


def _whole_number(text: str) -> int:
    digits = len(text.lstrip("-"))
    if digits > _MAX_DIGITS:
        raise ValueError(f"a whole number of {digits} digits, expected at most {_MAX_DIGITS}")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if abs(value) == float("inf"):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _check(value: Any) -> None:
    """Raises ValueError if values stand too deep, or a text holds half of a character, which nobody can write."""
    parts = [(value, 0)]
    while parts:
        part, depth = parts.pop()
        if depth > MAX_DEPTH:
            raise ValueError(_TOO_DEEP)
        if isinstance(part, dict):
            parts += [(inner, depth + 1) for pair in part.items() for inner in pair]
        elif isinstance(part, list):
            parts += [(inner, depth + 1) for inner in part]
        elif isinstance(part, str) and not part.isascii() and any("\ud800" <= one <= "\udfff" for one in part):
            raise ValueError("a text in it holds half of a surrogate pair")
