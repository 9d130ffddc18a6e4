"""What belongs to a weight file: its backbone, its classes, how its images are prepared."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chexnet.config import CROPS, DEFAULT_CROPS, NORMALIZATIONS, present_names
from chexnet.config.backbone_registry import DEFAULT_BACKBONE, check_backbone
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.labels import CLASS_NAMES, validate_class_names
from chexnet.model import checkpoint
from chexnet.model.backbones import BACKBONES

MAX_CROP = 2048
"""Of twice this side, ten crops take 12 GB: what a file of unknown origin says is not to exhaust the memory."""

MAX_CLASSES = 10_000


@dataclass(frozen=True)
class ModelConfig:
    """What belongs to a weight file.

    Attributes:
        backbone: one of `chexnet.list_backbones()`.
        classes: names of the outputs.
        preprocessing: how its images are resized, cropped and scaled.
        crops: crops per image that its results are averaged over, 10 or 1.
    """

    backbone: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    crops: int = DEFAULT_CROPS


def load_model_config(
    path: str | os.PathLike[str],
    backbone: str | None = None,
    classes: Sequence[str] | None = None,
    sample_bits: int | None = None,
) -> ModelConfig:
    """What the metadata of a weight file says, what it leaves out being as given here, else by default.

    Args:
        path: the weight file.
        backbone: what the user takes it for, None for no opinion.
        classes: likewise.
        sample_bits: bits per sample in the files at hand, which need not be as deep as those of training: it counts
            whatever the metadata says; None for no opinion.

    Raises:
        InputError: the metadata is unreadable, says something else than the user, an unknown backbone, classes that
            are no names, or sizes that cannot be.
    """
    return parse_model_config(*checkpoint.read_metadata(path), backbone, classes, sample_bits)


def parse_model_config(
    facts: Mapping[str, Any],
    source: str | os.PathLike[str],
    backbone: str | None = None,
    classes: Sequence[str] | None = None,
    sample_bits: int | None = None,
) -> ModelConfig:
    """The same of metadata that was read from `source`, the weight file or the JSON beside it."""
    sizes = {name: facts[name] for name in ("resize", "crop", "sample_bits") if name in facts}
    scaling = present_names(facts).get("normalization", NORMALIZATIONS[0])
    if not all(type(size) is int for size in sizes.values()):
        raise InputError(f"{source}: resize, crop and sample_bits are {str(sizes)[:80]}, expected whole numbers")
    if sample_bits is not None:
        sizes["sample_bits"] = sample_bits
    said = facts.get("backbone", backbone or DEFAULT_BACKBONE)
    check_backbone(said, str(source) if "backbone" in facts else "--backbone")
    if backbone not in (None, said):
        raise InputError(f"{source}: the checkpoint is a {said}, not a {backbone}; leave --backbone out")
    names = facts.get("classes", list(classes or CLASS_NAMES))
    try:
        if not isinstance(names, list):
            raise InputError(f"classes are {repr(names)[:60]}, expected a list of names")
        if len(names) > MAX_CLASSES:
            raise InputError(f"{len(names):,} classes, expected at most {MAX_CLASSES:,}")
        validate_class_names(names)
        if classes is not None and list(classes) != names:
            raise InputError(
                f"the checkpoint has {len(names)} classes, {_shown(names)}, expected the {len(classes)} of "
                f"--classes_file: {_shown(classes)}; leave --classes_file out"
            )
        preprocessing = Preprocessing(**sizes, scaling=scaling)
        check_input_size(preprocessing.crop, said)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    crops = facts.get("crops", DEFAULT_CROPS)
    if crops not in CROPS or type(crops) is not int:
        raise InputError(f"{source}: crops is {crops!r}, expected {' or '.join(map(str, CROPS))}")
    return ModelConfig(said, tuple(names), preprocessing, crops)


def check_input_size(crop: int, backbone: str = DEFAULT_BACKBONE) -> None:
    """Raise InputError if the backbone is unknown, or `crop` pixels are too few for it or more than MAX_CROP."""
    check_backbone(backbone, "--backbone")
    least = BACKBONES[backbone].min_input_size
    if crop > MAX_CROP:
        raise InputError(f"crop {crop} is too large for a network, expected at most {MAX_CROP} pixels")
    if crop < least:
        raise InputError(f"crop {crop} is too small for the network, expected at least {least} pixels for {backbone}")


def _shown(names: Sequence[str]) -> str:
    return ", ".join(name[:80] for name in names[:20]) + ", ..." * (len(names) > 20)
