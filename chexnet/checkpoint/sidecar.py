"""The JSON beside a weight file: preprocessing, classes, origin."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chexnet.errors import InputError
from chexnet.files import write_text


def write_sidecar(path: str | os.PathLike[str], facts: Mapping[str, Any]) -> None:
    """Writes what belongs to a weight file (preprocessing, classes, origin) as JSON beside it."""
    write_text(sidecar_path(path), json.dumps(dict(facts), indent=2) + "\n")


def read_sidecar(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the JSON beside a weight file; empty if there is none.

    Raises:
        InputError: it is there and is not a JSON object.
    """
    sidecar = sidecar_path(path)
    if not sidecar.exists():
        return {}
    try:
        facts = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{sidecar}: not readable as JSON: {error}") from error
    if not isinstance(facts, dict):
        raise InputError(f"{sidecar}: holds a JSON {type(facts).__name__}, expected an object")
    return facts


def read_notice(path: str | os.PathLike[str]) -> str:
    """What the JSON beside a weight file wants everybody to know who uses it; may be empty. Raises InputError."""
    return str(read_sidecar(path).get("notice", ""))


def sidecar_path(path: str | os.PathLike[str]) -> Path:
    """`save/best_model.pdparams` -> `save/best_model.json`."""
    return Path(path).with_suffix(".json")
