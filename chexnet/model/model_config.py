"""Model configuration: the backbone, the classes and the preprocessing of a checkpoint."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chexnet.config import NORMALIZATIONS, present_names
from chexnet.config.backbone_registry import DEFAULT_BACKBONE, check_backbone
from chexnet.config.crops import CROPS_TEXT, DEFAULT_CROPS, DENSE, Crops, is_valid_crops
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES, validate_class_names
from chexnet.model import checkpoint
from chexnet.model.backbones import BACKBONES

MAX_CROP = 2048
"""Largest crop, in pixels. Ten crops of twice this side take 12 GB; metadata must not exhaust the memory."""

MAX_CLASSES = 10_000


@dataclass(frozen=True)
class ModelConfig:
    """Model configuration of a checkpoint.

    Attributes:
        backbone: one of `chexnet.list_backbones()`.
        classes: names of the outputs.
        preprocessing: how images are resized, cropped and normalized.
        crops: crops per image to average the results over, one of `chexnet.config.crops.CROPS`.
    """

    backbone: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    crops: Crops = DEFAULT_CROPS


def load_model_config(
    path: str | os.PathLike[str],
    backbone: str | None = None,
    classes: Sequence[str] | None = None,
    sample_bits: int | None = None,
) -> ModelConfig:
    """Read the model configuration stored with a checkpoint.

    Missing entries come from the arguments, then from the defaults.

    Args:
        path: the weight file.
        backbone: backbone if the metadata names none, or the same one; None for the default.
        classes: names of the outputs if the metadata lists none, or the same ones; None for the default.
        sample_bits: bits per sample of the images to predict on, which may differ from those of training. It overrides
            the metadata; None uses the metadata.

    Raises:
        InputError: the metadata is unreadable, contradicts the arguments, or has an unknown backbone, invalid class
            names or impossible sizes.
    """
    return parse_model_config(*checkpoint.read_metadata(path), backbone, classes, sample_bits)


def parse_model_config(
    metadata: Mapping[str, Any],
    source: str | os.PathLike[str],
    backbone: str | None = None,
    classes: Sequence[str] | None = None,
    sample_bits: int | None = None,
) -> ModelConfig:
    """Check metadata as `load_model_config` does; `source` is the file that holds it, for errors."""
    sizes = {name: metadata[name] for name in ("resize", "crop", "sample_bits") if name in metadata}
    normalization = present_names(metadata).get("normalization", NORMALIZATIONS[0])
    if not all(type(size) is int for size in sizes.values()):
        raise InputError(f"{source}: resize, crop and sample_bits are {str(sizes)[:80]}, expected whole numbers")
    if sample_bits is not None:
        sizes["sample_bits"] = sample_bits
    name = metadata.get("backbone", backbone or DEFAULT_BACKBONE)
    check_backbone(name, str(source) if "backbone" in metadata else "--backbone")
    if backbone not in (None, name):
        raise InputError(f"{source}: the checkpoint is a {name}, not a {backbone}; leave --backbone out")
    names = metadata.get("classes", list(classes or CLASS_NAMES))
    try:
        _check_classes(names, classes)
        preprocessing = Preprocessing(**sizes, scaling=normalization)
        check_input_size(preprocessing.crop, name)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    crops = metadata.get("crops", DEFAULT_CROPS)
    check_crops(crops, name, f"{source}: crops")
    return ModelConfig(name, tuple(names), preprocessing, crops)


def check_crops(crops: Any, backbone: str, name: str) -> None:
    """Raise InputError unless the value is one of CROPS that the backbone supports; `name` begins the message."""
    if not is_valid_crops(crops):
        raise InputError(f"{name} is {repr(crops)[:60]}, expected {CROPS_TEXT}")
    if crops == DENSE and not BACKBONES[backbone].has_linear_head:
        able = ", ".join(known for known, kind in BACKBONES.items() if kind.has_linear_head)
        raise InputError(
            f"{name} is {DENSE}, which needs a head that is linear in the pooled feature map; {backbone} has another, "
            f"expected 10 or 1, or one of the backbones {able}"
        )


def check_input_size(crop: int, backbone: str = DEFAULT_BACKBONE) -> None:
    """Raise InputError if the backbone is unknown, or `crop` pixels are too few for it or more than MAX_CROP."""
    check_backbone(backbone, "--backbone")
    minimum = BACKBONES[backbone].min_input_size
    if crop > MAX_CROP:
        raise InputError(f"crop {crop} is too large for a network, expected at most {MAX_CROP} pixels")
    if crop < minimum:
        raise InputError(f"crop {crop} is too small for the network, expected at least {minimum} pixels for {backbone}")


def _check_classes(names: Any, expected: Sequence[str] | None) -> None:
    if not isinstance(names, list):
        raise InputError(f"classes are {repr(names)[:60]}, expected a list of names")
    if len(names) > MAX_CLASSES:
        raise InputError(f"{len(names):,} classes, expected at most {MAX_CLASSES:,}")
    validate_class_names(names)
    if expected is not None and list(expected) != names:
        raise InputError(
            f"the checkpoint has {len(names)} classes, {_join_names(names)}, expected the {len(expected)} of "
            f"--classes_file: {_join_names(expected)}; leave --classes_file out"
        )


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(name[:80] for name in names[:20]) + ", ..." * (len(names) > 20)
