"""The 14 findings of ChestX-ray14.

>>> CLASS_NAMES.index("Pneumonia"), N_CLASSES
(6, 14)
"""

from collections.abc import Collection, Sequence
from typing import Any

from chexnet.errors import InputError

CLASS_NAMES: tuple[str, ...] = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""Order of the label columns in list files and of the network's outputs, as in arnoweng/CheXNet."""

N_CLASSES = len(CLASS_NAMES)

MEAN_KEY = "avg"
"""Key of the mean in per-class results; not allowed as a class name."""


def is_valid_class_name(name: Any, earlier: Collection[str]) -> bool:
    """Return whether `name` is a valid class name: one line of text, not one of `earlier`, and not MEAN_KEY."""
    is_line = isinstance(name, str) and name != "" and name == name.strip() and name.isprintable()
    return is_line and name not in earlier and name != MEAN_KEY


def validate_class_names(names: Sequence[Any]) -> None:
    """Raise InputError unless these are valid, unique class names, at least one."""
    if not names:
        raise InputError("no class names, expected at least one")
    earlier: set[str] = set()
    for number, name in enumerate(names, start=1):
        if not is_valid_class_name(name, earlier):
            raise InputError(f"class {number} is {repr(name)[:60]}, expected a unique name other than {MEAN_KEY!r}")
        earlier.add(name)


BOX_FILE_SPELLINGS = {"Infiltration": "Infiltrate"}
"""Finding -> its spelling in NIH's box file (BBox_List_2017.csv), where that differs from the label file."""
