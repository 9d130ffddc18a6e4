"""The metadata of weights (preprocessing, classes, origin): its text within a file, and the JSON beside one."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chexnet.errors import InputError
from chexnet.files import write_text
from chexnet.files.json_files import parse_object, read_object

WEIGHTS_SHA256 = "weights_sha256"
"""Under which the SHA-256 of the weight file stands that the JSON describes."""

MAX_NOTICE = 500
"""Characters: a notice is a line, which is drawn into every picture."""


def format_metadata(metadata: Mapping[str, Any], path: str | os.PathLike[str]) -> str:
    """Formats metadata as the one line of ASCII that is stored in a weight file.

    Raises:
        InputError: it is more than `parse_metadata` reads.
    """
    text = json.dumps(dict(metadata), allow_nan=False)
    parse_metadata(text.encode(), path)
    return text


def parse_metadata(text: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Parse the metadata found in `path`. Raises InputError if it is not a JSON object, see `files.json_files`."""
    return parse_object(text, f"{path}: its metadata")


def write_metadata_file(path: str | os.PathLike[str], facts: Mapping[str, Any]) -> None:
    """Writes the metadata of a weight file as JSON beside it, for people and for files that hold none themselves."""
    write_text(metadata_path(path), json.dumps(dict(facts), indent=2, allow_nan=False) + "\n")


def read_metadata_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the JSON beside a weight file; empty if there is none, or if it is the graph of an exported Paddle program.

    Raises:
        InputError: it is there and is not a JSON object, see `chexnet.files.json_files`.
    """
    sidecar = metadata_path(path)
    return read_object(sidecar) if sidecar.exists() and not _is_program(sidecar) else {}


def disclaimer_in(metadata: Mapping[str, Any], source: str | os.PathLike[str]) -> str:
    """What everybody has to know who uses a weight file, as one line that can be shown; may be empty.

    Args:
        metadata: of the weight file.
        source: the file that it was read from, for the message.

    Raises:
        InputError: it is no text, or more than a line.
    """
    disclaimer = metadata.get("notice", "")
    if not isinstance(disclaimer, str) or not disclaimer.isprintable() or len(disclaimer) > MAX_NOTICE:
        raise InputError(
            f"{source}: the notice is {repr(disclaimer)[:60]}, expected one line of at most {MAX_NOTICE} characters"
        )
    return disclaimer


def check_metadata_file(path: str | os.PathLike[str]) -> None:
    """Finds out whether `write_sidecar` would replace the JSON of something else than weights.

    Raises:
        InputError: there is a file of its name that does not describe weights.
    """
    sidecar = metadata_path(path)
    try:
        known = read_metadata_file(path)
    except InputError:
        known = {"unreadable": True}
    if known and "backbone" not in known and not {"resize", "crop"} <= known.keys():
        raise InputError(
            f"{sidecar}: is there and describes no weights; the description of {Path(path).name} would replace it: "
            "choose another name, or move it away"
        )


def metadata_path(path: str | os.PathLike[str]) -> Path:
    """`save/best_model.pdparams` -> `save/best_model.json`."""
    return Path(path).with_suffix(".json")


def _is_program(sidecar: Path) -> bool:
    """`paddle.jit.save` of Paddle 3 writes `model.json`, too."""
    try:
        with sidecar.open("rb") as file:
            return file.read(12) == b'{"base_code"'
    except OSError:
        return False
