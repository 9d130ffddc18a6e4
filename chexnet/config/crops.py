"""The ways to evaluate an image: the number of crops, or dense evaluation."""

from typing import Literal

Crops = int | Literal["dense"]

DENSE: Literal["dense"] = "dense"
"""Dense evaluation: the network runs on the whole image and its mirror image, and its head on every window of the
feature map that a crop would have. Sermanet et al., OverFeat, ICLR 2014; Simonyan and Zisserman, Very Deep
Convolutional Networks, ICLR 2015 (arXiv:1409.1556), section 3.2."""

CROPS: tuple[Crops, ...] = (10, 1, DENSE)
"""Crops per image: the four corners and the center, each also flipped; the center alone; or dense evaluation."""

CROPS_TEXT = "10, 1 or dense"
"""CROPS, for messages."""

DEFAULT_CROPS = 10


def crops_argument(text: str) -> Crops | str:
    """Convert the text of a flag; argparse compares the result with CROPS."""
    return int(text) if text.isdecimal() else text


def is_valid_crops(value: object) -> bool:
    """Return True if a value, also one from a file, is one of CROPS and not merely equal to one."""
    return any(type(value) is type(known) and value == known for known in CROPS)


def format_crops(crops: Crops) -> str:
    """Return the number of crops as text, such as `10 crops`."""
    return "dense windows" if crops == DENSE else f"{crops} crop{'s' * (crops != 1)}"
