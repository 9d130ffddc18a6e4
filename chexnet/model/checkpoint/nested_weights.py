"""Weights in a file of Paddle that holds more, as `paddle.save({'model': model.state_dict(), ...})` writes it."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from chexnet.errors import InputError

_DEEPEST = 3


def weights_in(state: Mapping[str, Any], path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Finds the one dictionary of named arrays in what a file holds: all of it, or one of its values.

    Raises:
        InputError: there is none, or there are several; the message names them.
    """
    # The state of a run of train.py has no description beside it: its weights alone would lose their preprocessing.
    ours = {"network", "progress"} <= state.keys()
    found = {} if ours else dict(_dictionaries(state, ""))
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise InputError(
            f"{path}: holds weights at {len(found)} keys, {', '.join(found)[:300]}, expected those of one network; "
            "save one of them alone with paddle.save"
        )
    others = [name for name, value in state.items() if not isinstance(_array(value), np.ndarray)]
    shown = ", ".join(name[:40] for name in others[:3]) + ", ..." * (len(others) > 3)
    raise InputError(
        f"{path}: holds {len(others)} entries that are not arrays ({shown}), "
        "expected the weights of a network and nothing else"
    )


def _dictionaries(value: Mapping[str, Any], key: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    arrays = {name: _array(inner) for name, inner in value.items()}
    if all(isinstance(array, np.ndarray) for array in arrays.values()):
        if not key or any(isinstance(name, str) and name.endswith("weight") for name in arrays):
            yield key, arrays
        return
    if key.count(".") < _DEEPEST:
        for name, inner in value.items():
            if type(inner) is dict and inner:
                yield from _dictionaries(inner, f"{key}.{name}" if key else str(name))


def _array(value: Any) -> Any:
    """The array of a tensor, which stands below its parameter's name where Paddle writes it inside of something."""
    if type(value) is tuple and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], np.ndarray):
        return value[1]
    return value
