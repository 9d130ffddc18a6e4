"""Published AUROCs on ChestX-ray14: test images, choice of the epoch, and how precise they are.

>>> paddle = next(result for result in PUBLISHED if result.name == "Paddle-CheXNet")
>>> f"{paddle.mean:.3f} +- {paddle.half_width:.3f}, {paddle.split}, {paddle.selection}"
'0.847 +- 0.006, shared 70/10/20, highest validation AUROC'
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chexnet.known_lists import OFFICIAL_SPLIT, SHARED_SPLIT, known_list
from chexnet.labels import CLASS_NAMES, N_CLASSES

OWN_SPLIT = "own"
"""Split of the authors, whose test images are not published."""

ON_TEST = "highest AUROC on the test images"
"""Choice of an epoch that makes the AUROC on these images too high."""

_UNKNOWN = "unknown"
_VALIDATION_LOSS = "lowest validation loss"


@dataclass(frozen=True)
class Published:
    """The AUROC of one published system.

    Attributes:
        name: name of the system.
        split: split of the test images; results on different splits are not comparable.
        source: publication or repository.
        selection: how the authors chose the epoch.
        auroc: AUROC per class, in the order of CLASS_NAMES; empty if only the mean is listed here.
        reported_mean: mean over the 14 classes; None to compute it from `auroc`.
    """

    name: str
    split: str
    source: str
    selection: str
    auroc: tuple[float, ...] = ()
    reported_mean: float | None = None

    @property
    def mean(self) -> float:
        """Mean over the 14 classes."""
        return sum(self.auroc) / len(self.auroc) if self.reported_mean is None else self.reported_mean

    @property
    def half_width(self) -> float | None:
        """Half the width of the 95 % interval of the mean, see `mean_half_width`; None for unknown test images."""
        if self.split == OWN_SPLIT:
            return None
        test = known_list(self.split, "test")
        return mean_half_width(self.auroc or (self.mean,) * N_CLASSES, test.labels[0].positives, test.images)


def hanley_mcneil(auroc: float, positives: int, negatives: int) -> float:
    """Return the variance of an AUROC, from its value and the numbers of positives and negatives.

    Hanley and McNeil, The meaning and use of the area under a ROC curve, Radiology 143, 1982, equation 2, which
    assumes exponentially distributed scores.
    """
    above_two = auroc / (2 - auroc)
    two_above = 2 * auroc**2 / (1 + auroc)
    spread = (positives - 1) * (above_two - auroc**2) + (negatives - 1) * (two_above - auroc**2)
    return (auroc * (1 - auroc) + spread) / (positives * negatives)


def mean_half_width(aurocs: Sequence[float], positives: Sequence[int], images: int) -> float:
    """Return half the width of the 95 % interval of a mean AUROC: 1.96 sqrt(sum of variances) / number of classes.

    The variances are those of `hanley_mcneil`. The classes are treated as independent and the images as images of
    different patients. docs/data.md compares the result with an interval from predictions.
    """
    pairs = zip(aurocs, positives, strict=True)
    variance = sum(hanley_mcneil(auroc, count, images - count) for auroc, count in pairs)
    return 1.96 * math.sqrt(variance) / len(aurocs)


PUBLISHED = (
    Published(
        "Wang",
        OWN_SPLIT,
        "Wang et al., ChestX-ray8, CVPR 2017, as cited in CheXNet's table 2",
        _UNKNOWN,
        (0.716, 0.807, 0.784, 0.609, 0.706, 0.671, 0.633, 0.806, 0.708, 0.835, 0.815, 0.769, 0.708, 0.767),
    ),
    Published(
        "Yao",
        OWN_SPLIT,
        "Yao et al., Learning to diagnose from scratch, 2017, as cited in CheXNet's table 2",
        _UNKNOWN,
        (0.772, 0.904, 0.859, 0.695, 0.792, 0.717, 0.713, 0.841, 0.788, 0.882, 0.829, 0.767, 0.765, 0.914),
    ),
    Published(
        "CheXNet",
        OWN_SPLIT,
        "Rajpurkar et al., CheXNet, arXiv:1711.05225, table 2",
        _VALIDATION_LOSS,
        (
            *(0.8094, 0.9248, 0.8638, 0.7345, 0.8676, 0.7802, 0.7680),
            *(0.8887, 0.7901, 0.8878, 0.9371, 0.8047, 0.8062, 0.9164),
        ),
    ),
    Published(
        "arnoweng",
        SHARED_SPLIT,
        "github.com/arnoweng/CheXNet, README",
        _UNKNOWN,
        (
            *(0.8294, 0.9165, 0.8870, 0.7143, 0.8597, 0.7873, 0.7745),
            *(0.8726, 0.8142, 0.8932, 0.9254, 0.8304, 0.7831, 0.9104),
        ),
    ),
    Published(
        "improved",
        SHARED_SPLIT,
        "github.com/arnoweng/CheXNet, README, improved model",
        _UNKNOWN,
        (
            *(0.8311, 0.9220, 0.8891, 0.7146, 0.8627, 0.7883, 0.7820),
            *(0.8844, 0.8148, 0.8992, 0.9343, 0.8385, 0.7914, 0.9206),
        ),
    ),
    Published(
        "Paddle-CheXNet",
        SHARED_SPLIT,
        "Paddle-CheXNet, evaluation log",
        "highest validation AUROC",
        (
            *(0.8292, 0.9143, 0.8876, 0.7118, 0.8647, 0.7921, 0.7684),
            *(0.8771, 0.8161, 0.8987, 0.9302, 0.8374, 0.7962, 0.9311),
        ),
    ),
    Published(
        "zoogzog",
        SHARED_SPLIT,
        "github.com/zoogzog/chexnet, README",
        _VALIDATION_LOSS,
        (
            *(0.8321, 0.9107, 0.8860, 0.7145, 0.8653, 0.8037, 0.7655),
            *(0.8857, 0.8157, 0.9017, 0.9422, 0.8523, 0.7948, 0.9416),
        ),
    ),
    Published(
        "jrzech",
        SHARED_SPLIT,
        "github.com/jrzech/reproduce-chexnet, README, model retrained in 2022 with NIH's later labels",
        _VALIDATION_LOSS,
        (
            *(0.8180, 0.9090, 0.8827, 0.7156, 0.8377, 0.7756, 0.7617),
            *(0.8776, 0.8002, 0.8945, 0.9316, 0.8251, 0.7889, 0.9175),
        ),
    ),
    Published(
        "medical_mae",
        OFFICIAL_SPLIT,
        "DenseNet-121 of Xiao et al., Masked Autoencoders, arXiv:2210.12843; github.com/lambert-x/medical_mae",
        ON_TEST,
        reported_mean=0.822,
    ),
    Published("EVA-X-B", OFFICIAL_SPLIT, "Yao et al., EVA-X; github.com/hustvl/EVA-X", ON_TEST, reported_mean=0.835),
)
"""Published results. The choice of the epoch is that of the paper or of the training code, unknown without either."""


def published_results(classes: Sequence[str], own_split: str | None = None) -> tuple[Published, ...]:
    """Return the published results for these classes, those on the split `own_split` first, then the others by split.

    There are none for other classes than the 14 of ChestX-ray14.
    """
    if tuple(classes) != CLASS_NAMES:
        return ()
    # Sorting is stable: the order of the results with and of those without this split stays.
    return tuple(sorted(PUBLISHED, key=lambda result: result.split != own_split))


def comparability(own_split: str | None) -> tuple[str, ...]:
    """Return a sentence per split on whether its published results can be compared with results on `own_split`.

    Args:
        own_split: split of the test images, see `known_lists.split_of`; None if they are those of no known split.
    """
    splits = dict.fromkeys(result.split for result in published_results(CLASS_NAMES, own_split))
    return tuple(_comparability(split, own_split) for split in splits)


def format_published(result: Published) -> str:
    """Format a published mean with its interval and the choice of its epoch.

    >>> format_published(PUBLISHED[-1])
    'EVA-X-B 0.835 +- 0.005 (epoch: highest AUROC on the test images)'
    """
    width = "" if result.half_width is None else f" +- {result.half_width:.3f}"
    return f"{result.name} {result.mean:.3f}{width} (epoch: {result.selection})"


def _comparability(split: str, own_split: str | None) -> str:
    results = "; ".join(format_published(result) for result in PUBLISHED if result.split == split)
    if split == OWN_SPLIT:
        return f"{split}: not comparable, their test images are not published: {results}."
    if split == own_split:
        return f"{split}: the same test images: {results}."
    images = known_list(split, "test").images
    return f"{split}: not comparable, computed on another set of test images ({images:,}): {results}."
