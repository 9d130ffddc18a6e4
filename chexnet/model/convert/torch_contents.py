"""What a PyTorch file holds, as a tree: its tensors, each with the dictionary or the module that it is in."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chexnet.model.convert.torch_pickles import Tensor, Unread

_DEEPEST = 20


@dataclass(frozen=True)
class Leaf:
    """One tensor: the dictionary or module that holds it, as a path with dots at its end; its name; its shape."""

    place: str
    name: str
    tensor: Any
    of_module: bool = False

    @property
    def full(self) -> str:
        """Place and name."""
        return self.place + self.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sides."""
        return tuple(self.tensor.shape)


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor, in a file or in memory."""
    return isinstance(value, (Tensor, np.ndarray))


def children(value: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of what is right below a value."""
    if isinstance(value, Unread):
        yield from ((str(name), item) for name, item in value.items.items())
        value = value.state
    if isinstance(value, Mapping):
        yield from ((str(name), item) for name, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((str(number), item) for number, item in enumerate(value))


def is_module(value: Any) -> bool:
    """Whether it is a pickled module of PyTorch."""
    return (
        isinstance(value, Unread)
        and isinstance(value.state, dict)
        and {"_modules", "_parameters"} <= value.state.keys()
    )


def leaves_of(content: Any) -> Iterator[Leaf]:
    """Every tensor of a file once, outermost first; in modules those of their state dict."""
    parts: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    for place, part in parts:  # which grows
        if id(part) in seen or place.count(".") > _DEEPEST:
            continue
        seen.add(id(part))
        if is_module(part):
            yield from (Leaf(place, name, tensor, True) for name, tensor in _of_module(part, "", set()))
            continue
        for name, value in children(part):
            if is_tensor(value):
                yield Leaf(place, name, value)
            elif isinstance(value, (Unread, Mapping, list, tuple)):
                parts.append((f"{place}{name}.", value))


def _of_module(module: Any, prefix: str, within: set[int]) -> Iterator[tuple[str, Any]]:
    """The state dict of a pickled module, as `torch.nn.Module.state_dict` makes it."""
    if not is_module(module) or id(module) in within or len(within) > _DEEPEST:
        return
    state = module.state
    for own in ("_parameters", "_buffers"):
        for name, value in (state.get(own) or {}).items():
            if is_tensor(value):
                yield f"{prefix}{name}", value
    for name, child in state["_modules"].items():
        yield from _of_module(child, f"{prefix}{name}.", within | {id(module)})


def module_classes(content: Any) -> Callable[[str], bool]:
    """Whether a module of a class, of which the name's beginning is given, is the content or right below it."""
    found = [value.name for value in (content, *dict(children(content)).values()) if is_module(value)]
    return lambda start: any(name.startswith(start) for name in found)
