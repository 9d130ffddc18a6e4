"""Weights in a Paddle file that holds more, as `paddle.save({'model': model.state_dict(), ...})` writes it."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from chexnet.errors import InputError

_MAX_DEPTH = 3


def find_weights(state: Mapping[str, Any], path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Find the one dictionary of named arrays in the content of a file: all of the content, or one of its values.

    Raises:
        InputError: there is none, or there are several; the message names them.
    """
    # A training state of train.py has no metadata of the weights, so its weights would lose their preprocessing.
    is_training_state = {"network", "progress"} <= state.keys()
    found = {} if is_training_state else dict(_find_weight_dicts(state, ""))
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise InputError(
            f"{path}: holds weights at {len(found)} keys, {', '.join(found)[:300]}, expected those of one network; "
            "save the weights of one network with paddle.save"
        )
    others = [name for name, value in state.items() if not isinstance(_unwrap_tensor(value), np.ndarray)]
    shown = ", ".join(name[:40] for name in others[:3]) + ", ..." * (len(others) > 3)
    raise InputError(
        f"{path}: holds {len(others)} entries that are not arrays ({shown}), "
        "expected the weights of a network and nothing else"
    )


def _find_weight_dicts(value: Mapping[str, Any], key: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    arrays = {name: _unwrap_tensor(inner) for name, inner in value.items()}
    if all(isinstance(array, np.ndarray) for array in arrays.values()):
        if not key or any(isinstance(name, str) and name.endswith("weight") for name in arrays):
            yield key, arrays
        return
    if key.count(".") < _MAX_DEPTH:
        for name, inner in value.items():
            if type(inner) is dict and inner:
                yield from _find_weight_dicts(inner, f"{key}.{name}" if key else str(name))


def _unwrap_tensor(value: Any) -> Any:
    """Return the array of a tensor, which Paddle stores as (parameter name, array) in nested dictionaries."""
    if type(value) is tuple and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], np.ndarray):
        return value[1]
    return value
