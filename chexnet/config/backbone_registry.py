"""Names of the backbones: the built-in ones and those added with `register_backbone`. Imports nothing heavy."""

from collections.abc import Callable
from typing import Any, TypeVar

from chexnet.errors import InputError

DEFAULT_BACKBONE = "densenet121"

_BUILT_IN = (
    *(DEFAULT_BACKBONE, "densenet161", "densenet169", "densenet201", "densenet264", "densenet_cifar"),
    *("resnext50_32x4d", "resnet50", "resnet101", "resnet152"),
    *("vgg16", "googlenet", "alexnet", "lenet"),
)
"""Compared in docs/backbones.md. Importing `chexnet.model.backbones`, which needs Paddle, registers their classes. The
command-line flags need only the names."""

DEFAULT_MIN_INPUT_SIZE = 32

MIN_INPUT_SIZES = {"densenet_cifar": 8, "googlenet": 61, "alexnet": 63}
"""`min_input_size` of the built-in backbones that do not have the default. It is checked without their classes."""

WITHOUT_LINEAR_HEAD = ("vgg16", "alexnet", "lenet")
"""The built-in backbones whose `has_linear_head` is False."""

BACKBONES: dict[str, Any] = {}
"""Name -> class, a subclass of `chexnet.model.backbones.Backbone`, of every backbone registered so far."""

_REQUIRED = ("features", "classify", "head_prefixes", "grid", "min_input_size")
"""Attributes that a backbone must have. The base class gives defaults for the rest."""

BackboneType = TypeVar("BackboneType", bound=type)


def list_backbones() -> tuple[str, ...]:
    """Return the names of all backbones, the built-in ones first, then those registered so far.

    >>> list_backbones()[:2]
    ('densenet121', 'densenet161')
    """
    return tuple(dict.fromkeys((*_BUILT_IN, *BACKBONES)))


def is_built_in(name: str) -> bool:
    """Return whether a backbone is one of this package, and not replaced by another class."""
    return name in _BUILT_IN and (name not in BACKBONES or BACKBONES[name].__module__.startswith("chexnet."))


def min_input_size(name: str) -> int:
    """Return the smallest height and width of the images of a backbone, in pixels."""
    if name in BACKBONES:
        return int(BACKBONES[name].min_input_size)
    return MIN_INPUT_SIZES.get(name, DEFAULT_MIN_INPUT_SIZE)


def has_linear_head(name: str) -> bool:
    """Return whether a backbone's head is linear in the pooled feature map, so that it has class maps."""
    return bool(BACKBONES[name].has_linear_head) if name in BACKBONES else name not in WITHOUT_LINEAR_HEAD


def register_backbone(name: str) -> Callable[[BackboneType], BackboneType]:
    """Decorate a subclass of `chexnet.model.backbones.Backbone` to make it available under a name.

    Then `CheXNet(backbone=name)`, the configurations and the `--backbone` flags accept the name. Checkpoints
    store it, so every program that opens one has to import the file with the class first. docs/extending.md shows one.

    Args:
        name: an identifier, not one of `list_backbones()`. It is the first part of every name in the state dict.

    Raises:
        ValueError: the name is not an identifier, or belongs to another class.
        TypeError: the class lacks a part of the interface.
    """
    if not name.isidentifier():
        raise ValueError(f"backbone name {name!r}, expected an identifier such as 'my_net'")

    def register(backbone: BackboneType) -> BackboneType:
        if missing := [attribute for attribute in _REQUIRED if not hasattr(backbone, attribute)]:
            raise TypeError(f"backbone {name}: {backbone.__name__} has no {', '.join(missing)}")
        present = BACKBONES.get(name)
        # Running a notebook cell again replaces its class.
        if present and (present.__module__, present.__qualname__) != (backbone.__module__, backbone.__qualname__):
            raise ValueError(f"backbone {name}: {present.__module__}.{present.__qualname__} already has this name")
        BACKBONES[name] = backbone
        return backbone

    return register


def check_backbone(name: Any, source: str) -> None:
    """Raise InputError, which names `source`, unless a backbone with this name is registered."""
    if name not in list_backbones():
        raise InputError(
            f"{source}: the backbone is {repr(name)[:60]}, expected one of {', '.join(list_backbones())}; if it is "
            "your own, import the file that registers it with @register_backbone first (docs/extending.md)"
        )
