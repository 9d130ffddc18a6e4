"""Find the weights of a DenseNet-121 in a file, under any prefix of their names."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from chexnet.errors import InputError
from chexnet.model.convert import weight_names
from chexnet.model.convert.torch_contents import Leaf, children, is_module, iter_leaves

_FIRST_STATISTICS = re.compile(
    r"^(?P<prefix>(?:.*?\.)??)(?P<features>features\.)?(?P<block>denseblock1|4)\.denselayer1\."
    r"(?:norm1|norm\.1|layers\.norm1)\.running_mean$"
)
"""A name that every DenseNet has, below any prefix. Gradients and momenta have no running statistics."""

_PADDLE_STEM = "conv1_func._conv.weight"

_TRAINING_ONLY = re.compile(
    r"(^|\.)(criterion|pos_weight|n_averaged|num_updates|class_weights?|\w*loss\w*|\w*metrics?|\w*auroc\w*)(\.|$)", re.I
)
"""Names of tensors that only training needs; they do not change the output of a network."""


@dataclass(frozen=True)
class FoundDenseNet:
    """A DenseNet-121 in a file.

    Attributes:
        key: value of --key that selects it among several.
        parent: path of the dictionary or module that holds it; empty for the file itself.
        prefix: prefix of its names there.
        backbone: name as in `weight_names.backbone_weights` -> tensor, without batch counters.
        head: full name of the layer with 1024 inputs; empty if there is none.
        head_weight: weight of the head.
        head_bias: bias of the head.
        source_names: name as in `weight_names` -> name in the file.
        thresholds: torchxrayvision's `op_threshs`, or None.
        counters: number of batch counters.
        leftover: full names of tensors that do not belong to it and might be needed.
        dropped: full names of tensors of the same parent that only training needs.
        extra_keys: names of everything else in the file.
        dotted: True if layers are named `norm.1` instead of `norm1`.
        monai: True if layers are named `layers.norm1`.
        is_module: True for a pickled module, False for a state dict.
    """

    key: str
    parent: str
    prefix: str
    backbone: Mapping[str, Any]
    head: str
    head_weight: Any
    head_bias: Any
    source_names: Mapping[str, str]
    thresholds: Any
    counters: int
    leftover: tuple[str, ...]
    dropped: tuple[str, ...]
    extra_keys: tuple[str, ...]
    dotted: bool
    monai: bool
    is_module: bool


class _Location(NamedTuple):
    """Parent of a DenseNet, the prefix of its names, and True if the children of `features` are numbered."""

    parent: str
    prefix: str
    numbered: bool

    @property
    def full_prefix(self) -> str:
        return self.parent + self.prefix

    @property
    def key(self) -> str:
        return self.full_prefix.rstrip(".")


class _Members(NamedTuple):
    """Tensors of one parent: those of the network by canonical name, full names of the others, number of counters."""

    own: Mapping[str, Leaf]
    others: list[str]
    counters: int


def find_densenet(content: Any, path: Path, key: str | None = None) -> FoundDenseNet:
    """Find the DenseNet-121 in the content of a file.

    Args:
        content: see `torch_files.TorchFile`.
        path: the file, for errors.
        key: name of one of several networks, or the beginning of the name.

    Raises:
        InputError: there is none, there are several and `key` selects none, two layers could be the head, or a tensor
            occurs twice.
    """
    leaves = list(iter_leaves(content))
    if not leaves:
        raise InputError(f"{path}: no tensors found in it, expected the weights of a DenseNet-121")
    locations = _find_locations(leaves)
    location = _select(locations, leaves, path, key)
    siblings = [leaf for leaf in leaves if leaf.parent == location.parent]
    members = _assign_members(siblings, location, locations, path)
    head = _find_head(leaves, location, locations, path)
    by_name = {leaf.full_name: leaf for leaf in reversed(leaves)} if head else {}
    weight, bias = by_name.get(f"{head}.weight"), by_name.get(f"{head}.bias")
    head_names = {leaf.full_name for leaf in (weight, bias) if leaf}
    backbone_names = {entry.torch for entry in weight_names.backbone_weights()}
    leftover, dropped = _split_others(members, backbone_names | {"op_threshs"}, head_names)
    if key is not None:  # the user accepts to drop other tensors, except a layer after the head
        after_head = {leaf.full_name for leaf in siblings if weight and leaf.shape[1:] == weight.shape[:1]}
        dropped += [name for name in leftover if name in members.others and name not in after_head]
        leftover = [name for name in leftover if name not in dropped]
    thresholds = members.own.get("op_threshs")
    head_leaves = {name: leaf for name, leaf in zip(weight_names.HEAD, (weight, bias), strict=True) if leaf}
    extra_keys = _iter_extra_keys(content, location.parent, {leaf.full_name for leaf in siblings} | head_names)
    return FoundDenseNet(
        key=location.key,
        parent=location.parent,
        prefix=location.prefix,
        backbone={name: leaf.tensor for name, leaf in members.own.items() if name in backbone_names},
        head=head,
        head_weight=weight and weight.tensor,
        head_bias=bias and bias.tensor,
        source_names={name: leaf.full_name for name, leaf in {**members.own, **head_leaves}.items()},
        thresholds=thresholds and thresholds.tensor,
        counters=members.counters,
        leftover=tuple(leftover),
        dropped=tuple(dropped),
        extra_keys=tuple(extra_keys),
        dotted=any(re.search(r"denselayer\d+\.norm\.1\.", leaf.name) for leaf in siblings),
        monai=any(re.search(r"denselayer\d+\.layers\.", leaf.name) for leaf in siblings),
        is_module=siblings[0].in_module,
    )


def _find_locations(leaves: list[Leaf]) -> list[_Location]:
    """Return the location of every DenseNet that has its statistics and its first convolution."""
    full_names = {leaf.full_name for leaf in leaves}
    found: dict[_Location, None] = {}
    for leaf in leaves:
        if match := _FIRST_STATISTICS.match(leaf.name):
            numbered = match["block"] == "4"
            stem = f"{leaf.parent}{match['prefix']}{match['features'] or ''}{'0' if numbered else 'conv0'}.weight"
            if stem in full_names:
                found[_Location(leaf.parent, match["prefix"], numbered)] = None
    return list(found)


def _select(locations: list[_Location], leaves: list[Leaf], path: Path, key: str | None) -> _Location:
    if not locations and any(leaf.name.endswith(_PADDLE_STEM) for leaf in leaves):
        raise InputError(
            f"{path}: has Paddle's names already; eval.py and train.py read it as it is, and --reverse converts it to "
            "PyTorch"
        )
    if not locations:
        raise InputError(
            f"{path}: not a DenseNet-121: expected names that end in features.conv0.weight, features.norm0.weight ..., "
            f"found {len(leaves)} tensors: {weight_names.summarize(leaf.full_name for leaf in leaves)}"
        )
    matching = locations
    if key is not None:
        exact = [location for location in locations if location.key == key]
        matching = exact or [location for location in locations if location.key.startswith(f"{key}.")]
    if len(matching) == 1:
        return matching[0]
    keys = weight_names.summarize((location.key or "''" for location in matching or locations), most=8)
    if not matching:
        raise InputError(f"{path}: has no DenseNet at --key {key}, expected {keys}")
    raise InputError(f"{path}: holds {len(matching)} DenseNets: {keys}; select one with --key NAME")


def _assign_members(siblings: list[Leaf], location: _Location, locations: list[_Location], path: Path) -> _Members:
    nested = _nested_prefixes(location, locations)
    own: dict[str, list[Leaf]] = {}
    others = []
    counters = 0
    for leaf in siblings:
        is_counter = leaf.name.rpartition(".")[2] == weight_names.BATCH_COUNTER
        if not leaf.name.startswith(location.prefix) or leaf.full_name.startswith(nested):
            if not is_counter:
                others.append(leaf.full_name)
        elif is_counter:
            counters += 1
        else:
            name = weight_names.canonical_name(leaf.name.removeprefix(location.prefix), location.numbered)
            own.setdefault(name, []).append(leaf)
    if duplicates := [" and ".join(leaf.full_name for leaf in same) for same in own.values() if len(same) > 1]:
        names = weight_names.summarize(duplicates)
        raise InputError(f"{path}: nothing was converted. The same tensor has two names: {names}")
    return _Members({name: same[0] for name, same in own.items()}, others, counters)


def _split_others(members: _Members, used: set[str], head_names: set[str]) -> tuple[list[str], list[str]]:
    """Split the full names of tensors without a use here into those that might be needed and those of training."""
    inside = [leaf.full_name for name, leaf in members.own.items() if name not in used]
    unused = [name for name in inside + members.others if name not in head_names]
    dropped = [name for name in unused if _TRAINING_ONLY.search(name)]
    return [name for name in unused if name not in dropped], dropped


def _nested_prefixes(location: _Location, locations: list[_Location]) -> tuple[str, ...]:
    """Return the prefixes of other networks below this one, such as a copy next to weights without a prefix."""
    own = location.full_prefix
    prefixes = [other.full_prefix for other in locations]
    return tuple(prefix for prefix in prefixes if prefix != own and prefix.startswith(own))


def _find_head(leaves: list[Leaf], location: _Location, locations: list[_Location], path: Path) -> str:
    """Return the name of the one layer with 1024 inputs that is nearest to the backbone; empty if there is none."""
    nested = _nested_prefixes(location, locations)
    heads = [leaf.full_name for leaf in leaves if _is_head(leaf) and not leaf.full_name.startswith(nested)]
    layers = [name.removesuffix(".weight") for name in heads]
    scope = location.full_prefix
    while True:
        near = [layer for layer in layers if layer.startswith(scope)]
        if len(near) > 1:
            raise InputError(
                f"{path}: {len(near)} layers have the {weight_names.FEATURES} inputs of a DenseNet-121's head: "
                f"{weight_names.summarize(near)}; expected one"
            )
        if near or not scope:
            return near[0] if near else ""
        scope = re.sub(r"[^.]*\.$", "", scope)


def _is_head(leaf: Leaf) -> bool:
    return leaf.name.endswith("weight") and len(leaf.shape) == 2 and leaf.shape[1] == weight_names.FEATURES


def _iter_extra_keys(content: Any, parent: str, used: set[str]) -> Iterator[str]:
    """Yield the names of values in a file outside of the dictionary or module of the weights."""
    if is_module(content):
        return
    first, _, rest = parent.partition(".")
    for name, value in children(content):
        if parent and name == first:
            inner = {full_name.partition(".")[2] for full_name in used if full_name.startswith(f"{first}.")}
            yield from (f"{name}.{extra}" for extra in _iter_extra_keys(value, rest, inner))
        elif name not in used and not any(full_name.startswith(f"{name}.") for full_name in used):
            yield name
