"""Where in a file the weights of a DenseNet-121 are, whatever stands before their names."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from chexnet.errors import InputError
from chexnet.model.convert import weight_names
from chexnet.model.convert.torch_contents import Leaf, children, is_module, leaves_of

_STATISTICS = re.compile(
    r"^(?P<prefix>(?:.*?\.)??)(?P<features>features\.)?(?P<block>denseblock1|4)\.denselayer1\."
    r"(?:norm1|norm\.1|layers\.norm1)\.running_mean$"
)
"""What every DenseNet has, whatever stands before it; gradients and momenta do not."""

_OF_PADDLE = "conv1_func._conv.weight"

_OF_TRAINING = re.compile(
    r"(^|\.)(criterion|pos_weight|n_averaged|num_updates|class_weights?|\w*loss\w*|\w*metrics?|\w*auroc\w*)(\.|$)", re.I
)
"""Names of what only training needs, and what does not change what a network computes."""


@dataclass(frozen=True)
class Found:
    """A DenseNet-121 in a file.

    Attributes:
        key: what chooses it among others.
        place: path of the dictionary or module that holds it; empty for the file itself.
        prefix: before its names there.
        backbone: name as in `names.backbone` -> tensor, without batch counters; others keep the name of the file.
        head: full name of the layer of 1024 inputs; empty if there is none.
        weight: of the head.
        bias: of the head.
        spellings: name as in `names` -> name in the file.
        thresholds: torchxrayvision's `op_threshs`, if they are there.
        counters: number of batch counters.
        left_over: full names of tensors that are no part of it and might be of use.
        dropped: what is beside the weights in the same place, and only training needs.
        beside: what else is in the file.
        dotted: whether layers are named `norm.1` instead of `norm1`.
        monai: whether layers are named `layers.norm1`.
        module: whether it is a pickled module instead of a state dict.
    """

    key: str
    place: str
    prefix: str
    backbone: Mapping[str, Any]
    head: str
    weight: Any
    bias: Any
    spellings: Mapping[str, str]
    thresholds: Any
    counters: int
    left_over: tuple[str, ...]
    dropped: tuple[str, ...]
    beside: tuple[str, ...]
    dotted: bool
    monai: bool
    module: bool


def find(content: Any, path: Path, key: str | None = None) -> Found:
    """The DenseNet-121 in what a file holds.

    Args:
        content: see `torch_files.TorchFile`.
        path: the file, for errors.
        key: name of one of several, or the beginning of it.

    Raises:
        InputError: there is none, there are several and none is chosen, two layers could be its head, or it has a
            tensor twice.
    """
    leaves = list(leaves_of(content))
    if not leaves:
        raise InputError(f"{path}: no tensors found in it, expected the weights of a DenseNet-121")
    networks = _networks(leaves)
    network = _chosen(networks, leaves, path, key)
    here = [leaf for leaf in leaves if leaf.place == network.place]
    own, outside, counters = _of_network(here, network, networks)
    if twice := [" and ".join(leaf.full for leaf in same) for same in own.values() if len(same) > 1]:
        raise InputError(f"{path}: nothing was converted. One tensor under two names: {weight_names.some(twice)}")
    tensors = {name: same[0] for name, same in own.items()}
    head = _head(leaves, network, networks, path)
    weight, bias = (next((leaf for leaf in leaves if head and leaf.full == f"{head}.{end}"), None) for end in _ENDS)
    taken = {leaf.full for leaf in (weight, bias) if leaf}
    thresholds = tensors.pop("op_threshs", None)
    backbone = {one.torch for one in weight_names.backbone()}
    inside = [leaf.full for name, leaf in tensors.items() if name not in backbone and leaf.full not in taken]
    outside = [name for name in outside if name not in taken]
    dropped = [name for name in inside + outside if _OF_TRAINING.search(name)]
    if key is not None:  # but what takes the outputs of the head has its say
        then = {leaf.full for leaf in here if weight and leaf.shape[1:] == weight.shape[:1]}
        dropped += [name for name in outside if name not in dropped and name not in then]
    return Found(
        key=network.key,
        place=network.place,
        prefix=network.prefix,
        backbone={name: leaf.tensor for name, leaf in tensors.items() if name in backbone},
        head=head,
        weight=weight and weight.tensor,
        bias=bias and bias.tensor,
        spellings={
            **{name: leaf.full for name, leaf in tensors.items()},
            **{name: leaf.full for name, leaf in zip(weight_names.HEAD, (weight, bias), strict=True) if leaf},
        },
        thresholds=thresholds and thresholds.tensor,
        counters=counters,
        left_over=tuple(name for name in inside + outside if name not in dropped),
        dropped=tuple(dropped),
        beside=tuple(_beside(content, network.place, {leaf.full for leaf in here} | taken)),
        dotted=any(re.search(r"denselayer\d+\.norm\.1\.", leaf.name) for leaf in here),
        monai=any(re.search(r"denselayer\d+\.layers\.", leaf.name) for leaf in here),
        module=here[0].of_module,
    )


_ENDS = ("weight", "bias")


class _Network(NamedTuple):
    """Where a DenseNet is: its dictionary or module, what stands before its names, and how its blocks are named."""

    place: str
    prefix: str
    numbered: bool

    @property
    def key(self) -> str:
        return f"{self.place}{self.prefix}".rstrip(".")


def _networks(leaves: list[Leaf]) -> list[_Network]:
    """Every DenseNet with its statistics and its first convolution."""
    known = {leaf.full for leaf in leaves}
    found: dict[_Network, None] = {}
    for leaf in leaves:
        if match := _STATISTICS.match(leaf.name):
            numbered = match["block"] == "4"
            first = f"{leaf.place}{match['prefix']}{match['features'] or ''}{'0' if numbered else 'conv0'}.weight"
            if first in known:
                found[_Network(leaf.place, match["prefix"], numbered)] = None
    return list(found)


def _chosen(networks: list[_Network], leaves: list[Leaf], path: Path, key: str | None) -> _Network:
    if not networks and any(leaf.name.endswith(_OF_PADDLE) for leaf in leaves):
        raise InputError(
            f"{path}: has Paddle's names already; --reverse converts it to PyTorch, and eval.py and train.py take it "
            "as it is"
        )
    if not networks:
        raise InputError(
            f"{path}: not a DenseNet-121: expected names that end in features.conv0.weight, features.norm0.weight ..., "
            f"found {len(leaves)} tensors: {weight_names.some(leaf.full for leaf in leaves)}"
        )
    if key is None:
        matching = networks
    else:
        matching = [one for one in networks if one.key == key] or [
            one for one in networks if one.key.startswith(f"{key}.")
        ]
    if len(matching) == 1:
        return matching[0]
    there = weight_names.some((one.key or "''" for one in matching or networks), most=8)
    if not matching:
        raise InputError(f"{path}: has no DenseNet at --key {key}, expected {there}")
    raise InputError(f"{path}: holds {len(matching)} DenseNets: {there}; --key NAME chooses one of them")


def _of_network(
    here: list[Leaf], network: _Network, networks: list[_Network]
) -> tuple[dict[str, list[Leaf]], list[str], int]:
    """The tensors of a network under their canonical names, those beside it in the same place, and the counters."""
    inner = _inner(network, networks)
    own: dict[str, list[Leaf]] = {}
    outside = []
    counters = 0
    for leaf in here:
        if not leaf.name.startswith(network.prefix) or leaf.full.startswith(inner):
            if leaf.name.rpartition(".")[2] != weight_names.COUNTER:
                outside.append(leaf.full)
        elif leaf.name.rpartition(".")[2] == weight_names.COUNTER:
            counters += 1
        else:
            own.setdefault(weight_names.canonical(leaf.name.removeprefix(network.prefix), network.numbered), []).append(
                leaf
            )
    return own, outside, counters


def _inner(network: _Network, networks: list[_Network]) -> tuple[str, ...]:
    """What begins the names of other networks that are below this one, such as a copy beside bare weights."""
    own = network.place + network.prefix
    full = [other.place + other.prefix for other in networks]
    return tuple(name for name in full if name.startswith(own) and name != own)


def _head(leaves: list[Leaf], network: _Network, networks: list[_Network], path: Path) -> str:
    """The one layer of 1024 inputs, beside the backbone or as near above it as there is one."""
    inner = _inner(network, networks)
    heads = [leaf.full for leaf in leaves if _is_head(leaf) and not leaf.full.startswith(inner)]
    layers = [name.removesuffix(".weight") for name in heads]
    scope = network.place + network.prefix
    while True:
        near = [layer for layer in layers if layer.startswith(scope)]
        if len(near) > 1:
            raise InputError(
                f"{path}: {len(near)} layers have the {weight_names.FEATURES} inputs of a DenseNet-121's head: "
                f"{weight_names.some(near)}; expected one"
            )
        if near or not scope:
            return near[0] if near else ""
        scope = re.sub(r"[^.]*\.$", "", scope)


def _is_head(leaf: Leaf) -> bool:
    return leaf.name.endswith("weight") and len(leaf.shape) == 2 and leaf.shape[1] == weight_names.FEATURES


def _beside(content: Any, place: str, taken: set[str]) -> Iterator[str]:
    """Names of what is in a file, and not in the dictionary or module of the weights."""
    if is_module(content):
        return
    first, _, rest = place.partition(".")
    for name, value in children(content):
        if place and name == first:
            inner = {full.partition(".")[2] for full in taken if full.startswith(f"{first}.")}
            yield from (f"{name}.{one}" for one in _beside(value, rest, inner))
        elif name not in taken and not any(full.startswith(f"{name}.") for full in taken):
            yield name
