"""The folder that phantoms are written to: a new one, or that of an interrupted run with the same arguments."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chexnet.errors import InputError
from chexnet.files import write_text


def claim_folder(root: Path, arguments: Mapping[str, Any], results: Sequence[Path]) -> None:
    """Create the folder and its `images`, and store the arguments in `phantom.json`.

    Args:
        root: the folder.
        arguments: arguments of the run, ready for JSON.
        results: files in the folder that a run writes last, so that a folder with one of them is complete.

    Raises:
        InputError: the folder contains other files or is complete, or cannot be written.
    """
    note = root / "phantom.json"
    text = json.dumps(arguments, indent=2) + "\n"
    try:
        if root.exists() and any(root.iterdir()):
            if not note.is_file() or note.read_text(encoding="utf-8") != text:
                raise InputError(f"{root}: contains other files, expected a new or empty folder")
            if written := [path.name for path in results if path.exists()]:
                raise InputError(f"{root}: already contains this data set ({', '.join(written)})")
        (root / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{root}: cannot be used as a folder: {error.strerror}") from error
    write_text(note, text)


def save_image(image: np.ndarray, path: Path) -> None:
    """Write an image, uint8 [S, S], as PNG. Raises InputError if it cannot be written."""
    try:
        Image.fromarray(image).save(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error}") from error
