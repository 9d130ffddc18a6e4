"""Weight files: read without running code, written whole or not at all.

A `.pdparams` or `.pdopt` file is a pickle, and `paddle.load` executes whatever a pickle asks for. Here
an unpickler that knows arrays and plain containers only reads it.
"""

import io
import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chexnet.errors import InputError
from chexnet.files import replacing, write_text

if TYPE_CHECKING:
    from paddle import nn

NAME_TABLE = "StructuredToParameterName@@"
"""Paddle's own entry in a saved state dict: structured name -> parameter name. It holds no weights."""

_HARMLESS = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise InputError(f"it asks to run {module}.{name}, which no weight file needs; it was not run")
        return super().find_class(module, name)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a `.pdparams` or `.pdopt` file without executing anything in it.

    Returns:
        The dictionary in the file, arrays as `numpy.ndarray`, without Paddle's name table.

    Raises:
        InputError: the file is missing, truncated, damaged, asks to run code or is not a dictionary.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        state = _ArrayUnpickler(io.BytesIO(data)).load()
    except InputError as error:
        raise InputError(f"{path}: refused: {error}") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise InputError(
            f"{path}: not a readable Paddle weight file (truncated, damaged or of another format): {error}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise InputError(f"{path}: holds a {type(state).__name__}, expected a dictionary of named arrays")
    state.pop(NAME_TABLE, None)
    return state


def save(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Writes a state dict (Paddle tensors, arrays, nested plain values) that `paddle.load` reads too.

    Half-precision weights are widened to float32, the one precision that is stored.

    Raises:
        InputError: the file cannot be written; what stood there before is unchanged.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        pickle.dump({**{name: _plain(value) for name, value in state.items()}, NAME_TABLE: {}}, file, protocol=4)


def load_weights(network: "nn.Layer", path: str | os.PathLike[str]) -> None:
    """Fills every parameter and buffer of `network` from a `.pdparams` file, or none.

    Raises:
        InputError: the file is unreadable, or its names or shapes are not exactly those of the network.
    """
    assign(network, load(path), str(path))


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


def write_sidecar(path: str | os.PathLike[str], facts: Mapping[str, Any]) -> None:
    """Writes what belongs to a weight file (preprocessing, classes, origin) as JSON beside it."""
    write_text(sidecar_path(path), json.dumps(dict(facts), indent=2) + "\n")


def read_sidecar(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the JSON beside a weight file; empty if there is none.

    Raises:
        InputError: it is there and is not a JSON object.
    """
    sidecar = sidecar_path(path)
    if not sidecar.exists():
        return {}
    try:
        facts = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{sidecar}: not readable as JSON: {error}") from error
    if not isinstance(facts, dict):
        raise InputError(f"{sidecar}: holds a JSON {type(facts).__name__}, expected an object")
    return facts


def sidecar_path(path: str | os.PathLike[str]) -> Path:
    """`save/best_model.pdparams` -> `save/best_model.json`."""
    return Path(path).with_suffix(".json")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.ndarray) and value.dtype == np.float16:
        value = value.astype(np.float32)
    return value
