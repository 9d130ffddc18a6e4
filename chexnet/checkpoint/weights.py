"""Weights of a network: one flat dictionary of arrays, in either format."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chexnet.checkpoint import pickles, safetensors_files
from chexnet.checkpoint.safetensors_files import SAFETENSORS
from chexnet.errors import InputError

if TYPE_CHECKING:
    from paddle import nn

WEIGHT_SUFFIXES = (".pdparams", SAFETENSORS)
"""The formats that weights are written in."""


def read_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the weights of a network; a name in `.safetensors` is read as such, any other as `load` does.

    Returns:
        Name -> array, as they are in the file.

    Raises:
        InputError: the file is missing, unreadable, damaged, asks to run code, or holds more than arrays.
    """
    if Path(path).suffix == SAFETENSORS:
        return safetensors_files.read(path)
    state = pickles.load(path)
    if others := [name for name, value in state.items() if not isinstance(value, np.ndarray)]:
        raise InputError(
            f"{path}: holds {len(others)} entries that are not arrays ({', '.join(others[:3])}, ...), "
            "expected the weights of a network and nothing else"
        )
    return state


def save_weights(
    weights: Mapping[str, Any], path: str | os.PathLike[str], precision: Literal["float32", "float16"] = "float32"
) -> None:
    """Writes weights for use elsewhere, whole or not at all; the same weights give the same bytes.

    Args:
        weights: names -> Paddle tensors or arrays. Floating-point numbers are stored in `precision`, whatever
            they have; others as they are.
        path: the file, replaced if it exists; its name ends in one of `WEIGHT_SUFFIXES`, which is its format.
        precision: float16 halves the file and is read like any other; the network computes in float32 all the same.

    Raises:
        InputError: its name ends otherwise, a number is too large for `precision`, or the file cannot be written;
            what stood there before is unchanged.
    """
    check_suffix(path)
    arrays = {name: _stored(value, np.dtype(precision)) for name, value in weights.items()}
    if large := [name for name, array in arrays.items() if array.dtype == np.float16 and np.isinf(array).any()]:
        raise InputError(f"{path}: nothing written, {', '.join(large)} hold numbers too large for {precision}")
    if Path(path).suffix == SAFETENSORS:
        safetensors_files.write(arrays, path)
    else:
        pickles.save(arrays, path)


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raises InputError if `save_weights` knows no format for this name."""
    if Path(path).suffix not in WEIGHT_SUFFIXES:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(WEIGHT_SUFFIXES)}")


def load_weights(network: "nn.Layer", path: str | os.PathLike[str]) -> None:
    """Fills every parameter and buffer of `network` from a weight file, or none.

    Raises:
        InputError: the file is unreadable, or its names or shapes are not exactly those of the network.
    """
    assign(network, read_weights(path), str(path))


def assign(network: "nn.Layer", state: Mapping[str, Any], source: str) -> None:
    """Fills every parameter and buffer of `network` from arrays, or none; `source` is named in errors.

    Raises:
        InputError: one line that lists all names that are missing, unexpected, misshapen, or hold no usable
            numbers, and what to do.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    faults: dict[str, list[str]] = {
        "missing": [name for name in wanted if name not in state],
        "unexpected": [name for name in state if name not in wanted],
    }
    for name in wanted.keys() & state.keys():
        if fault := _fault(name, state[name], wanted[name]):
            faults.setdefault(fault, []).append(name)
    problems = [f"{fault} {len(names)}: {', '.join(sorted(names))}" for fault, names in faults.items() if names]
    if problems:
        raise InputError(
            f"{source}: does not fit the network, nothing was loaded. {'; '.join(problems)}. "
            "A PyTorch file is converted by convert_torch_weights.py first"
        )
    network.set_state_dict({name: state[name].astype("float32") for name in wanted})


def _fault(name: str, value: Any, shape: tuple[int, ...]) -> str | None:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return "not an array of floating-point numbers"
    if value.shape != shape:
        return f"of shape {list(value.shape)} for {list(shape)}"
    # Relu turns NaN into 0 on the way, so broken weights would give probabilities that look sound.
    if not np.isfinite(value).all() or np.abs(value).max(initial=0) > np.finfo("float32").max:
        return "with NaN or infinity"
    if name.endswith("_variance") and (value < 0).any():
        return "with a negative variance"
    return None


def _stored(value: Any, precision: np.dtype[Any]) -> np.ndarray:
    if hasattr(value, "numpy"):
        # Before it is an array: NumPy has no bfloat16.
        value = (value.astype("float32") if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    dtype = precision if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # what became infinite is named by the caller
        return array.astype(dtype, order="C", copy=False)
