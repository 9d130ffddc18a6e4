"""The 14 findings of ChestX-ray14, and their published results.

>>> CLASS_NAMES.index("Pneumonia"), N_CLASSES
(6, 14)
"""

import hashlib
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


@dataclass(frozen=True)
class PublishedMean:
    """Mean AUROC of a published system whose AUROCs per class are not listed here.

    `selection` says how the authors chose the epoch.
    """

    name: str
    split: str
    source: str
    mean: float
    selection: str


SHARED_SPLIT = "shared 70/10/20"
"""Split of arnoweng/CheXNet with 22,433 test images; not NIH's official one."""

OFFICIAL_SPLIT = "official"
"""NIH's split, with 25,596 test images."""

_TEST_IMAGES = {
    "a20c79828a7825d1d5ac7e8e1b2eccdb21db7e87f9449415f40896116264d55a": SHARED_SPLIT,
    "38ca5ef7f756092946f57c1a59faca882ed589a1ab1f72590b45dc06c6d5e1cc": OFFICIAL_SPLIT,
}
"""SHA-256 of the sorted names of test images, one per line -> their split."""


def split_of(names: Collection[str]) -> str | None:
    """Return the split whose test images have these names, in any order and folder; None if there is none.

    >>> split_of(["00000001_000.png"]) is None
    True
    """
    text = "\n".join(sorted(name.rpartition("/")[2] for name in names))
    return _TEST_IMAGES.get(hashlib.sha256(text.encode(errors="replace")).hexdigest())


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
    PublishedResult(
        "zoogzog",
        SHARED_SPLIT,
        "github.com/zoogzog/chexnet, README",
        (
            *(0.8321, 0.9107, 0.8860, 0.7145, 0.8653, 0.8037, 0.7655),
            *(0.8857, 0.8157, 0.9017, 0.9422, 0.8523, 0.7948, 0.9416),
        ),
    ),
    PublishedResult(
        "jrzech",
        SHARED_SPLIT,
        "github.com/jrzech/reproduce-chexnet, README, model retrained in 2022 with NIH's later labels",
        (
            *(0.8180, 0.9090, 0.8827, 0.7156, 0.8377, 0.7756, 0.7617),
            *(0.8776, 0.8002, 0.8945, 0.9316, 0.8251, 0.7889, 0.9175),
        ),
    ),
)

PUBLISHED_MEANS = (
    PublishedMean(
        "DenseNet-121, medical_mae",
        OFFICIAL_SPLIT,
        "Xiao et al., Delving into Masked Autoencoders, arXiv:2210.12843; github.com/lambert-x/medical_mae",
        0.822,
        "epoch with the highest test AUROC",
    ),
    PublishedMean(
        "EVA-X-B",
        OFFICIAL_SPLIT,
        "Yao et al., EVA-X; github.com/hustvl/EVA-X",
        0.835,
        "epoch with the highest test AUROC",
    ),
)
"""Means of other systems. An epoch that the test images have chosen looks better on them than it is."""


def published_results(classes: Sequence[str]) -> tuple[PublishedResult, ...]:
    """Return the published results for these classes: PUBLISHED for the 14 of ChestX-ray14, none for others."""
    return PUBLISHED if tuple(classes) == CLASS_NAMES else ()


def published_means(classes: Sequence[str]) -> str:
    """Return the published means as one sentence; empty for other classes than the 14 of ChestX-ray14."""
    if tuple(classes) != CLASS_NAMES:
        return ""
    means = ", ".join(f"{mean.name} {mean.mean:.3f} ({mean.selection})" for mean in PUBLISHED_MEANS)
    return f"Means on NIH's official split of 25,596 test images: {means}."
