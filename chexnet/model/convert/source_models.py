"""Programs whose weights are converted: their preprocessing, and the meaning of their outputs.

Sources: arnoweng/CheXNet `model.py`, jrzech/reproduce-chexnet `model.py`, torchxrayvision `models.py`,
`datasets.py` and `utils.py` (`normalize`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chexnet.config.crops import Crops
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES, N_CLASSES
from chexnet.model.convert.torch_contents import has_module_of
from chexnet.model.convert.torch_files import TorchFile
from chexnet.model.convert.weight_search import FoundDenseNet

SOURCE_NORMALIZATIONS = {
    "imagenet": ("imagenet", 1),
    "minus_one_one": ("minus_one_one", 1),
    "zero_one": ("zero_one", 1),
    "torchxrayvision": ("minus_one_one", 1024),
}
"""Normalization of a PyTorch program -> our normalization, and the factor from our values to its values.

torchxrayvision has -1024..1024, which is -1..1 times 1024. The padding's 0 is the same gray in both.
"""

XRV_CLASSES = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion"),
    *("Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion", "Fracture"),
    *("Lung Opacity", "Enlarged Cardiomediastinum"),
)
"""Order of torchxrayvision's `default_pathologies`, which all of its DenseNets have."""


@dataclass(frozen=True)
class SourceModel:
    """Preprocessing and classes of a model to convert.

    Attributes:
        program: name of the program that wrote the file.
        resize: shorter side after resizing, pixels.
        crop: side of the crop, pixels.
        crops: crops per image; None if unknown.
        normalization: one of SOURCE_NORMALIZATIONS.
        classes: names of the outputs; empty if unknown.
        certain: True if the file itself identifies the program.
    """

    program: str
    resize: int
    crop: int
    crops: Crops | None
    normalization: str
    classes: tuple[str, ...] = ()
    certain: bool = False


ARNOWENG = SourceModel("arnoweng/CheXNet", 256, 224, None, "imagenet", CLASS_NAMES)
JRZECH = SourceModel("jrzech/reproduce-chexnet", 224, 224, 1, "imagenet", CLASS_NAMES, certain=True)
XRV = SourceModel("torchxrayvision", 224, 224, 1, "torchxrayvision", XRV_CLASSES, certain=True)

_JRZECH_KEYS = {"model", "best_loss", "epoch", "rng_state", "LR"}


@dataclass(frozen=True)
class ConversionOptions:
    """User-specified properties of a file to convert; None for unspecified.

    Attributes:
        classes: names of the outputs, in their order.
        resize: shorter side after resizing, pixels.
        crop: side of the crop, pixels.
        crops: crops per image, one of `chexnet.config.crops.CROPS`.
        normalization: one of SOURCE_NORMALIZATIONS.
        key: key of one of several networks in the file, see `weight_search.find_densenet`.
    """

    classes: Sequence[str] | None = None
    resize: int | None = None
    crop: int | None = None
    crops: Crops | None = None
    normalization: str | None = None
    key: str | None = None


def recognize(file: TorchFile, found: FoundDenseNet, channels: int, outputs: int) -> SourceModel:
    """Identify the program that wrote a file."""
    if channels == 1 and (found.thresholds is not None or has_module_of(file.content, "torchxrayvision")):
        return XRV if outputs == len(XRV_CLASSES) else replace(XRV, classes=())
    if isinstance(file.content, dict) and file.content.keys() >= _JRZECH_KEYS:
        return JRZECH
    return ARNOWENG if outputs == N_CLASSES else replace(ARNOWENG, classes=())


def apply_options(
    model: SourceModel, options: ConversionOptions, channels: int, outputs: int, path: Path
) -> SourceModel:
    """Override the recognized properties of a model with those that the user specified.

    Raises:
        InputError: the meaning of the outputs, or the pixel normalization of one input channel, is unknown; or the user
            gives another number of classes.
    """
    classes = model.classes if options.classes is None else tuple(options.classes)
    if not classes:
        raise InputError(
            f"{path}: {outputs} outputs found, {N_CLASSES} expected of a CheXNet, and the file does not name them; "
            f"--classes_file FILE names them, {outputs} lines in the order of the outputs; nothing was converted"
        )
    if len(classes) != outputs:
        raise InputError(f"{path}: {outputs} outputs found, expected {len(classes)}, one per name in --classes_file")
    if not model.certain:
        _check_normalization(options, channels, path)
    return replace(
        model,
        resize=model.resize if options.resize is None else options.resize,
        crop=model.crop if options.crop is None else options.crop,
        crops=model.crops if options.crops is None else options.crops,
        normalization=options.normalization or model.normalization,
        classes=classes,
    )


def backbone_normalization(options: ConversionOptions, channels: int, path: Path) -> str:
    """Return the normalization of a backbone to start training from. Raises InputError if it is unknown."""
    _check_normalization(options, channels, path)
    return options.normalization or "imagenet"


def _check_normalization(options: ConversionOptions, channels: int, path: Path) -> None:
    if channels == 1 and options.normalization is None:
        raise InputError(
            f"{path}: the network takes one channel, and the file does not contain its pixel normalization; use "
            "--normalization zero_one (0..1), minus_one_one (-1..1), torchxrayvision (-1024..1024) or imagenet "
            "((x - 0.485) / 0.229, x in 0..1)"
        )


def drop_classes(model: SourceModel, dropped: Sequence[str]) -> SourceModel:
    """Remove some classes of a model."""
    return replace(model, classes=tuple(name for name in model.classes if name not in dropped))


def expand_stem(stem: np.ndarray, normalization: str) -> np.ndarray:
    """Convert the first convolution to three equal channels in our normalization: [64, 1 or 3, 7, 7] -> [64, 3, 7, 7].

    One channel becomes the first of three; the weights of the others are 0. Factors are powers of two. So the network
    computes exactly the same, also at the borders, where convolutions are padded with zeros.
    """
    factor = np.float32(SOURCE_NORMALIZATIONS[normalization][1])
    if stem.shape[1] == 1:
        stem = np.concatenate([stem, np.zeros_like(stem), np.zeros_like(stem)], axis=1)
    return stem * factor


def trained_outputs(thresholds: Any, outputs: int) -> np.ndarray:
    """Return a mask of the trained outputs, bool [outputs].

    torchxrayvision has no operating point (NaN) for untrained outputs. Without operating points, all count as trained.
    """
    if thresholds is None or tuple(thresholds.shape) != (outputs,):
        return np.ones(outputs, bool)
    array = thresholds if isinstance(thresholds, np.ndarray) else thresholds.array()
    mask: np.ndarray = ~np.isnan(array)
    return mask if mask.any() else np.ones(outputs, bool)
