"""Metadata of weights (preprocessing, classes, origin): as text in a weight file, and as a JSON file next to it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chexnet.errors import InputError
from chexnet.files import write_text
from chexnet.files.json_files import parse_object, read_object

WEIGHTS_SHA256 = "weights_sha256"
"""Key in the JSON file of the SHA-256 of the weight file that it describes."""

MAX_DISCLAIMER = 500
"""Largest number of characters of a disclaimer, which is one line in every picture."""


def format_metadata(metadata: Mapping[str, Any], path: str | os.PathLike[str]) -> str:
    """Format metadata as one line of ASCII, which is stored in a weight file.

    Raises:
        InputError: `parse_metadata` would refuse the line.
    """
    text = json.dumps(dict(metadata), allow_nan=False)
    parse_metadata(text.encode(), path)
    return text


def parse_metadata(text: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Parse the metadata found in `path`. Raises InputError if it is not a JSON object, see `files.json_files`."""
    return parse_object(text, f"{path}: its metadata")


def write_metadata_file(path: str | os.PathLike[str], metadata: Mapping[str, Any]) -> None:
    """Write metadata as a JSON file next to the weight file, for people and for weight files that hold no metadata."""
    write_text(metadata_path(path), json.dumps(dict(metadata), indent=2, allow_nan=False) + "\n")


def read_metadata_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the JSON file next to a weight file.

    Returns:
        The metadata; empty if there is no such file, or if it is the graph of an exported Paddle program.

    Raises:
        InputError: the file is not a JSON object, see `chexnet.files.json_files`.
    """
    json_path = metadata_path(path)
    return read_object(json_path) if json_path.exists() and not _is_program(json_path) else {}


def parse_disclaimer(metadata: Mapping[str, Any], source: str | os.PathLike[str]) -> str:
    """Return the disclaimer that users of the weights must see, one printable line; may be empty.

    Args:
        metadata: metadata of a weight file.
        source: the file that holds the metadata, for errors.

    Raises:
        InputError: the disclaimer is not a string, or longer than one line.
    """
    disclaimer = metadata.get("notice", "")
    if not isinstance(disclaimer, str) or not disclaimer.isprintable() or len(disclaimer) > MAX_DISCLAIMER:
        raise InputError(
            f"{source}: the notice is {repr(disclaimer)[:60]}, expected one line of at most {MAX_DISCLAIMER} characters"
        )
    return disclaimer


def check_metadata_file(path: str | os.PathLike[str]) -> None:
    """Check that `write_metadata_file` would not replace a file that does not describe weights.

    Raises:
        InputError: there is such a file.
    """
    json_path = metadata_path(path)
    try:
        metadata = read_metadata_file(path)
    except InputError:
        metadata = {"unreadable": True}
    if metadata and "backbone" not in metadata and not {"resize", "crop"} <= metadata.keys():
        raise InputError(
            f"{json_path}: exists and does not describe weights; the metadata of {Path(path).name} would replace it: "
            "choose another output name, or move the file"
        )


def metadata_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of the JSON file: `save/best_model.pdparams` -> `save/best_model.json`."""
    return Path(path).with_suffix(".json")


def _is_program(json_path: Path) -> bool:
    """Return True for the `model.json` that `paddle.jit.save` of Paddle 3 writes."""
    try:
        with json_path.open("rb") as file:
            return file.read(12) == b'{"base_code"'
    except OSError:
        return False
