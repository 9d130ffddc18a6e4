"""What is known of the programs whose weights are converted: their preprocessing, and what their outputs mean.

Sources: arnoweng/CheXNet `model.py`, jrzech/reproduce-chexnet `model.py`, torchxrayvision `models.py`,
`datasets.py` and `utils.py` (`normalize`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.model.convert.torch_contents import module_classes
from chexnet.model.convert.torch_files import TorchFile
from chexnet.model.convert.weight_search import Found

NORMALIZATIONS = {
    "imagenet": ("imagenet", 1),
    "minus_one_one": ("minus_one_one", 1),
    "zero_one": ("zero_one", 1),
    "torchxrayvision": ("minus_one_one", 1024),
}
"""How a PyTorch program scales pixels -> our normalization, and the factor from our values to its own.

torchxrayvision has -1024..1024, which is -1..1 times 1024. The padding's 0 is the same gray on both sides.
"""

XRV_CLASSES = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion"),
    *("Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion", "Fracture"),
    *("Lung Opacity", "Enlarged Cardiomediastinum"),
)
"""The order of torchxrayvision's `default_pathologies`, which all of its DenseNets have."""


@dataclass(frozen=True)
class Layout:
    """The program that made a file, as far as it matters here.

    Attributes:
        program: its name.
        resize: shorter side after resizing, pixels.
        crop: side of the crop, pixels.
        crops: crops per image; None for no opinion.
        normalization: one of NORMALIZATIONS.
        classes: meaning of the outputs; empty if nobody knows.
        certain: whether the file itself says which program it is.
    """

    program: str
    resize: int
    crop: int
    crops: int | None
    normalization: str
    classes: tuple[str, ...] = ()
    certain: bool = False


ARNOWENG = Layout("arnoweng/CheXNet", 256, 224, None, "imagenet", CLASS_NAMES)
JRZECH = Layout("jrzech/reproduce-chexnet", 224, 224, 1, "imagenet", CLASS_NAMES, certain=True)
XRV = Layout("torchxrayvision", 224, 224, 1, "torchxrayvision", XRV_CLASSES, certain=True)

_JRZECH_KEYS = {"model", "best_loss", "epoch", "rng_state", "LR"}


@dataclass(frozen=True)
class Choices:
    """What the user says of a file; None for no opinion.

    Attributes:
        classes: names of the outputs, in their order.
        resize: shorter side after resizing, pixels.
        crop: side of the crop, pixels.
        crops: crops per image, 10 or 1.
        normalization: one of NORMALIZATIONS.
        key: of one of several networks in the file, see `search.find`.
    """

    classes: Sequence[str] | None = None
    resize: int | None = None
    crop: int | None = None
    crops: int | None = None
    normalization: str | None = None
    key: str | None = None


def recognize(file: TorchFile, found: Found, channels: int, outputs: int) -> Layout:
    """The program that made a file."""
    if channels == 1 and (found.thresholds is not None or module_classes(file.content)("torchxrayvision.")):
        return XRV if outputs == len(XRV_CLASSES) else replace(XRV, classes=())
    if isinstance(file.content, dict) and file.content.keys() >= _JRZECH_KEYS:
        return JRZECH
    return ARNOWENG if outputs == N_CLASSES else replace(ARNOWENG, classes=())


def settle(layout: Layout, choices: Choices, channels: int, outputs: int, path: Path) -> Layout:
    """What is known of a file, corrected by what the user says.

    Raises:
        InputError: neither says what the outputs mean, or how pixels were scaled for one input channel; or the user
            names another number of classes.
    """
    classes = layout.classes if choices.classes is None else tuple(choices.classes)
    if not classes:
        raise InputError(
            f"{path}: {outputs} outputs found, {N_CLASSES} expected of a CheXNet, and the file does not say what they "
            f"mean; --classes_file FILE names them, {outputs} lines in the order of the outputs; nothing was converted"
        )
    if len(classes) != outputs:
        raise InputError(
            f"{path}: {outputs} outputs found, expected {len(classes)}, one for each name of --classes_file"
        )
    if not layout.certain:
        _check_normalization(choices, channels, path)
    return replace(
        layout,
        resize=layout.resize if choices.resize is None else choices.resize,
        crop=layout.crop if choices.crop is None else choices.crop,
        crops=layout.crops if choices.crops is None else choices.crops,
        normalization=choices.normalization or layout.normalization,
        classes=classes,
    )


def normalization_of_backbone(choices: Choices, channels: int, path: Path) -> str:
    """How pixels are scaled for weights that training starts from. Raises InputError as `settle` does."""
    _check_normalization(choices, channels, path)
    return choices.normalization or "imagenet"


def _check_normalization(choices: Choices, channels: int, path: Path) -> None:
    if channels == 1 and choices.normalization is None:
        raise InputError(
            f"{path}: the network takes one channel, and the file does not say how pixels were scaled for it: "
            "--normalization zero_one (0..1), minus_one_one (-1..1), torchxrayvision (-1024..1024) or imagenet "
            "((x - 0.485) / 0.229, x in 0..1)"
        )


def without(layout: Layout, left_out: Sequence[str]) -> Layout:
    """The layout without some of its classes."""
    return replace(layout, classes=tuple(name for name in layout.classes if name not in left_out))


def three_channels(stem: np.ndarray, normalization: str) -> np.ndarray:
    """The first convolution for three equal channels that are scaled as ours: [64, 1 or 3, 7, 7] -> [64, 3, 7, 7].

    One channel becomes the first of three, the others having no weight, and factors are powers of two. So the network
    computes exactly what it did, at the borders too, where convolutions see zeros.
    """
    factor = np.float32(NORMALIZATIONS[normalization][1])
    if stem.shape[1] == 1:
        stem = np.concatenate([stem, np.zeros_like(stem), np.zeros_like(stem)], axis=1)
    return stem * factor


def trained(thresholds: Any, outputs: int) -> np.ndarray:
    """Which outputs were trained: torchxrayvision gives the others no operating point. bool [outputs]."""
    if thresholds is None or tuple(thresholds.shape) != (outputs,):
        return np.ones(outputs, bool)
    array = thresholds if isinstance(thresholds, np.ndarray) else thresholds.array()
    trained_ones: np.ndarray = ~np.isnan(array)
    return trained_ones if trained_ones.any() else np.ones(outputs, bool)
