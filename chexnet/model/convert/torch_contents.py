"""The content of a PyTorch file as a tree: its tensors, each with the dictionary or the module that holds it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chexnet.model.convert.torch_objects import LazyTensor, UnreadObject

_MAX_DEPTH = 20


@dataclass(frozen=True)
class Leaf:
    """One tensor of a file.

    Attributes:
        parent: path of the dictionary or module that holds the tensor, with a dot after each part; empty for the file.
        name: key in the dictionary, or name in the state dict of the module.
        tensor: a `LazyTensor` or an array.
        in_module: True if a pickled module holds the tensor.
    """

    parent: str
    name: str
    tensor: Any
    in_module: bool = False

    @property
    def full_name(self) -> str:
        """Parent and name."""
        return self.parent + self.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return tuple(self.tensor.shape)


def is_tensor(value: Any) -> bool:
    """Return True for a tensor, in a file or in memory."""
    return isinstance(value, (LazyTensor, np.ndarray))


def children(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values directly below a value."""
    if isinstance(value, UnreadObject):
        yield from ((str(name), item) for name, item in value.items.items())
        value = value.state
    if isinstance(value, Mapping):
        yield from ((str(name), item) for name, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((str(number), item) for number, item in enumerate(value))


def is_module(value: Any) -> bool:
    """Return True for a pickled `torch.nn.Module`."""
    return (
        isinstance(value, UnreadObject)
        and isinstance(value.state, dict)
        and {"_modules", "_parameters"} <= value.state.keys()
    )


def iter_leaves(content: Any) -> Iterator[Leaf]:
    """Yield every tensor of a file once, outermost first; of a module, the tensors of its state dict."""
    parts: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    for parent, part in parts:  # the loop appends to the list
        if id(part) in seen or parent.count(".") > _MAX_DEPTH:
            continue
        seen.add(id(part))
        if is_module(part):
            yield from (Leaf(parent, name, tensor, True) for name, tensor in _iter_state_dict(part, "", set()))
            continue
        for name, value in children(part):
            if is_tensor(value):
                yield Leaf(parent, name, value)
            elif isinstance(value, (UnreadObject, Mapping, list, tuple)):
                parts.append((f"{parent}{name}.", value))


def _iter_state_dict(module: Any, prefix: str, ancestors: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the state dict of a pickled module, as `torch.nn.Module.state_dict` builds it."""
    if not is_module(module) or id(module) in ancestors or len(ancestors) > _MAX_DEPTH:
        return
    state = module.state
    for attribute in ("_parameters", "_buffers"):
        for name, value in (state.get(attribute) or {}).items():
            if is_tensor(value):
                yield f"{prefix}{name}", value
    for name, child in state["_modules"].items():
        yield from _iter_state_dict(child, f"{prefix}{name}.", ancestors | {id(module)})


def has_module_of(content: Any, package: str) -> bool:
    """Return True if the content, or a value directly below it, is a module whose class belongs to a package."""
    values = (content, *dict(children(content)).values())
    return any(is_module(value) and value.name.startswith(f"{package}.") for value in values)
