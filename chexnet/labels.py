"""The 14 findings of ChestX-ray14, and their published results.

>>> CLASS_NAMES.index("Pneumonia"), N_CLASSES
(6, 14)
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class PublishedResult:
    """Per-class AUROC of one published system, in the order of CLASS_NAMES.

    `split` names the test images; results on different splits are not comparable.
    """

    name: str
    split: str
    source: str
    auroc: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the 14 classes."""
        return sum(self.auroc) / len(self.auroc)


SHARED_SPLIT = "shared 70/10/20"
"""Split of arnoweng/CheXNet with 22,433 test images; not NIH's official one."""

PUBLISHED = (
    PublishedResult(
        "Wang",
        "own",
        "Wang et al., ChestX-ray8, CVPR 2017, as cited in CheXNet's table 2",
        (0.716, 0.807, 0.784, 0.609, 0.706, 0.671, 0.633, 0.806, 0.708, 0.835, 0.815, 0.769, 0.708, 0.767),
    ),
    PublishedResult(
        "Yao",
        "own",
        "Yao et al., Learning to diagnose from scratch, 2017, as cited in CheXNet's table 2",
        (0.772, 0.904, 0.859, 0.695, 0.792, 0.717, 0.713, 0.841, 0.788, 0.882, 0.829, 0.767, 0.765, 0.914),
    ),
    PublishedResult(
        "CheXNet",
        "own",
        "Rajpurkar et al., CheXNet, arXiv:1711.05225, table 2",
        (
            *(0.8094, 0.9248, 0.8638, 0.7345, 0.8676, 0.7802, 0.7680),
            *(0.8887, 0.7901, 0.8878, 0.9371, 0.8047, 0.8062, 0.9164),
        ),
    ),
    PublishedResult(
        "arnoweng",
        SHARED_SPLIT,
        "github.com/arnoweng/CheXNet, README",
        (
            *(0.8294, 0.9165, 0.8870, 0.7143, 0.8597, 0.7873, 0.7745),
            *(0.8726, 0.8142, 0.8932, 0.9254, 0.8304, 0.7831, 0.9104),
        ),
    ),
    PublishedResult(
        "improved",
        SHARED_SPLIT,
        "github.com/arnoweng/CheXNet, README, improved model",
        (
            *(0.8311, 0.9220, 0.8891, 0.7146, 0.8627, 0.7883, 0.7820),
            *(0.8844, 0.8148, 0.8992, 0.9343, 0.8385, 0.7914, 0.9206),
        ),
    ),
    PublishedResult(
        "Paddle-CheXNet",
        SHARED_SPLIT,
        "Paddle-CheXNet, evaluation log",
        (
            *(0.8292, 0.9143, 0.8876, 0.7118, 0.8647, 0.7921, 0.7684),
            *(0.8771, 0.8161, 0.8987, 0.9302, 0.8374, 0.7962, 0.9311),
        ),
    ),
)


def published_results(classes: Sequence[str]) -> tuple[PublishedResult, ...]:
    """Return the published results for these classes: PUBLISHED for the 14 of ChestX-ray14, none for others."""
    return PUBLISHED if tuple(classes) == CLASS_NAMES else ()
