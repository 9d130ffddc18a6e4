"""Types of command-line arguments: functions that convert the text of a flag and check the value."""

import argparse
from collections.abc import Callable
from itertools import pairwise


def positive_int(text: str) -> int:
    """Return a whole number of at least 1."""
    return _whole_number(text, minimum=1)


def non_negative_int(text: str) -> int:
    """Return a whole number of at least 0."""
    return _whole_number(text, minimum=0)


def int_between(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return an argument type that takes the whole numbers from `minimum` to `maximum`."""

    def parse(text: str) -> int:
        value = _whole_number(text, minimum)
        if value > maximum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at most {maximum}")
        return value

    return parse


def random_seed(text: str) -> int:
    """Return a whole number from 0 to 2**32 - 1, the range that every random generator accepts."""
    value = _whole_number(text, minimum=0)
    if value >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number below 2**32")
    return value


def positive_float(text: str) -> float:
    """Return a finite number above 0."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above 0")
    return value


def non_negative_float(text: str) -> float:
    """Return a finite number of at least 0."""
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number of at least 0")
    return value


def fraction(text: str) -> float:
    """Return a number from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def decay_or_off(text: str) -> float | None:
    """Return a number between 0 and 1, without these two, or None for `off`."""
    value = None if text == "off" else _number(text)
    if value is not None and not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number between 0 and 1 nor off")
    return value


def epoch_list(text: str) -> tuple[int, ...]:
    """Return increasing epoch numbers: `10,15,18` -> (10, 15, 18). An empty text gives none."""
    try:
        epochs = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        epochs = (0,)
    if any(epoch < 1 for epoch in epochs) or any(a >= b for a, b in pairwise(epochs)):
        raise argparse.ArgumentTypeError(f"{text!r} is not an increasing list of epochs such as 10,15,18")
    return epochs


def _whole_number(text: str, minimum: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = minimum - 1
    if value < minimum:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {minimum}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
