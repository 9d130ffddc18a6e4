"""Cells of label files that name findings or parts of a data set."""

import ast
import re
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files.text_files import shorten

MAX_FINDINGS = 10_000
"""Limit on the characters of a cell that names findings."""


def parse_findings(cell: str, where: str) -> list[str]:
    """Parse a cell that names findings: one, several joined by `|`, or a Python list of strings, as in PadChest.

    >>> parse_findings("['nodule', ' pleural effusion']", "a.csv:2"), parse_findings("Mass|Nodule", "a.csv:2")
    (['nodule', 'pleural effusion'], ['Mass', 'Nodule'])

    Raises:
        InputError: the cell has more than MAX_FINDINGS characters or is a malformed list.
    """
    if len(cell) > MAX_FINDINGS:
        raise InputError(f"{where}: {len(cell):,} characters of findings, expected at most {MAX_FINDINGS:,}")
    if not cell.startswith("["):
        return [finding for part in cell.split("|") if (finding := part.strip())]
    try:
        found = ast.literal_eval(cell)  # literals only, no code is run
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise InputError(f"{where}: the findings are {shorten(cell)}, expected a list such as ['nodule']") from error
    if not isinstance(found, list) or not all(isinstance(finding, str) for finding in found):
        raise InputError(f"{where}: the findings are {shorten(cell)}, expected a list of strings such as ['nodule']")
    return [finding.strip() for finding in found if finding.strip()]


_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def parse_part(text: str, where: str) -> str:
    """Return `train`, `val` or `test` for the spellings of data sets.

    Raises:
        InputError: it is none of them.
    """
    if (part := _PARTS.get(text.casefold())) is None:
        raise InputError(f"{where}: the part of the data set is {shorten(text)}, expected one of {', '.join(_PARTS)}")
    return part


def part_of_file(path: Path) -> str:
    """Return the part of a data set that a file name contains as a word. Raises InputError unless there is one."""
    words = re.split(r"[^a-z]+", path.name.casefold().removesuffix(".gz").removesuffix(".csv"))
    parts = {_PARTS[word] for word in words if word in _PARTS}
    if len(parts) != 1:
        raise InputError(
            f"{path}: the file name contains {len(parts)} parts of a data set, expected one word of {', '.join(_PARTS)}"
        )
    return parts.pop()


def plain(finding: str) -> str:
    """Return the name of a finding in lower case, with single spaces for spaces and underscores."""
    return " ".join(finding.replace("_", " ").split()).casefold()
