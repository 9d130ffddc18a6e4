"""Spellings of labels."""

import re

UNCERTAIN = -1

_NAMES = {"true": 1, "yes": 1, "positive": 1, "false": 0, "no": 0, "negative": 0, "hedge": UNCERTAIN}
"""HEDGE is the answer of an uncertain reader in the labels of Majkowska et al."""

_NUMBER = re.compile(r"(-?1|0)(?:\.0*)?", re.ASCII)


def parse_label(text: str) -> int | None:
    """Parse a label: return 0 or 1 for any spelling, -1 for uncertain, and None for other text.

    >>> [parse_label(text) for text in ("0", "1.0", "-1", "True", "NO", "2", "")]
    [0, 1, -1, 1, 0, None, None]
    """
    if match := _NUMBER.fullmatch(text):
        return int(match[1])
    return _NAMES.get(text.casefold())
