"""Weights of a network: one flat dictionary of arrays, in either format."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chexnet.errors import InputError
from chexnet.files import WEIGHT_SUFFIXES, read_bytes
from chexnet.model.checkpoint import file_kinds, nested_weights, pickles, safetensors_files
from chexnet.model.checkpoint.metadata_file import (
    WEIGHTS_SHA256,
    metadata_path,
    read_metadata_file,
    write_metadata_file,
)
from chexnet.model.checkpoint.safetensors_files import SAFETENSORS

if TYPE_CHECKING:
    from paddle import nn


_SHOWN = 8  # names in an error


@dataclass(frozen=True)
class WeightFile:
    """A weight file as it was read, once.

    Attributes:
        path: where it was.
        weights: name -> array.
        sha256: of the bytes that the weights were read from, in hexadecimal.
        metadata: what belongs to them (backbone, classes, preprocessing, origin); empty if nothing is known.
        metadata_source: the file that it is from: the weight file itself, or the JSON beside it.
    """

    path: Path
    weights: dict[str, np.ndarray]
    sha256: str
    metadata: dict[str, Any]
    metadata_source: Path


def open_weights(path: str | os.PathLike[str]) -> WeightFile:
    """Reads weights and their metadata.

    The metadata is that in the file; a JSON beside it is then not read. A file that holds none, as other programs and
    earlier versions wrote it, has that of the JSON, unless the JSON says that it is of other weights.

    Raises:
        InputError: as for `read_weights` and `read_sidecar`; or the JSON is that of other weights.
    """
    data = read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    weights, metadata = _parse(data, path)
    if metadata is not None:
        return WeightFile(Path(path), weights, digest, metadata, Path(path))
    metadata = read_metadata_file(path)
    if (described := metadata.pop(WEIGHTS_SHA256, digest)) != digest:
        raise InputError(
            f"{metadata_path(path)}: describes weights with SHA-256 {str(described)[:64]}, those of {path} have "
            f"{digest}; expected the JSON of these weights, which train.py --resume writes anew. If the two "
            f"belong together all the same, take {WEIGHTS_SHA256!r} out of the JSON"
        )
    return WeightFile(Path(path), weights, digest, metadata, metadata_path(path))


def read_metadata(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Path]:
    """Reads the metadata of a weight file, and says which file it is from, see `WeightFile`.

    Where the weight file is gone, the JSON that is left of it counts.

    Raises:
        InputError: as for `open_weights`.
    """
    if not Path(path).exists():
        return read_metadata_file(path), metadata_path(path)
    file = open_weights(path)
    return file.metadata, file.metadata_source


def read_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the weights of a network, in either format, whatever the name of the file says.

    Returns:
        Name -> array, as they are in the file.

    Raises:
        InputError: the file is missing, unreadable, damaged, asks to run code, holds more than arrays, or is something
            else, which is named.
    """
    return _parse(read_bytes(path), path)[0]


def _parse(data: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    if safetensors_files.is_safetensors(data):
        return safetensors_files.parse(data, path)
    state, metadata = pickles.parse(data, path)
    return nested_weights.weights_in(state, path), metadata


def save_checkpoint(
    weights: Mapping[str, Any],
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    precision: Literal["float32", "float16"] = "float32",
) -> str:
    """Writes weights with their metadata as `save_weights` does, and then the JSON beside them, a copy for people.

    The JSON says by its `weights_sha256` of which weights it is.
    """
    digest = save_weights(weights, path, precision, metadata)
    write_metadata_file(path, {**metadata, WEIGHTS_SHA256: digest})
    return digest


def save_weights(
    weights: Mapping[str, Any],
    path: str | os.PathLike[str],
    precision: Literal["float32", "float16"] = "float32",
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Writes weights for use elsewhere, whole or not at all; the same weights and metadata give the same bytes.

    Args:
        weights: names -> Paddle tensors or arrays. Floating-point numbers are stored in `precision`, whatever
            they have; others as they are.
        path: the file, replaced if it exists; its name ends in one of `WEIGHT_SUFFIXES`, which is its format.
        precision: float16 halves the file and is read like any other; the network computes in float32 all the same.
        metadata: what belongs to the weights, of values that JSON can hold; it is stored in the file. None stores none:
            then the JSON beside the file counts.

    Returns:
        The SHA-256 of the file's bytes, in hexadecimal.

    Raises:
        InputError: its name ends otherwise, a number is too large for `precision`, `metadata` is too large, or the file
            cannot be written; what stood there before is unchanged.
    """
    check_suffix(path)
    arrays = {name: _stored(value, np.dtype(precision)) for name, value in weights.items()}
    if large := [name for name, array in arrays.items() if array.dtype == np.float16 and np.isinf(array).any()]:
        raise InputError(f"{path}: nothing written, {', '.join(large)} hold numbers too large for {precision}")
    write = safetensors_files.write if Path(path).suffix == SAFETENSORS else pickles.save
    return write(arrays, path, metadata)


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raises InputError if `save_weights` knows no format for this name."""
    if Path(path).suffix not in WEIGHT_SUFFIXES:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(WEIGHT_SUFFIXES)}")


def load_weights(network: "nn.Layer", path: str | os.PathLike[str]) -> None:
    """Fills every parameter and buffer of `network` from a weight file, or none.

    Raises:
        InputError: the file is unreadable, or its names or shapes are not exactly those of the network.
    """
    load_state_dict(network, read_weights(path), str(path))


def load_state_dict(network: "nn.Layer", state: Mapping[str, Any], source: str) -> None:
    """Fills every parameter and buffer of `network` from arrays, or none; `source` is named in errors.

    Raises:
        InputError: one line with the number and the first of the names that are missing, unexpected, misshapen, or hold
            no usable numbers.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    faults: dict[str, list[str]] = {
        "missing": [name for name in wanted if name not in state],
        "unexpected": [name for name in state if name not in wanted],
    }
    for name in wanted.keys() & state.keys():
        if fault := _fault(name, state[name], wanted[name]):
            faults.setdefault(fault, []).append(name)
    problems = [f"{fault} {len(names)}: {_shown(names)}" for fault, names in faults.items() if names]
    if problems:
        hint = f". PyTorch calls weights so: {file_kinds.convert_command(source)}" if _of_torch(state) else ""
        raise InputError(f"{source}: does not fit the network, nothing was loaded. {'; '.join(problems)}{hint}")
    network.set_state_dict({name: state[name].astype("float32") for name in wanted})


def _shown(names: list[str]) -> str:
    return ", ".join(name[:80] for name in sorted(names)[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)


def _of_torch(state: Mapping[str, Any]) -> bool:
    """Whether the names are those that PyTorch gives batch norm, where Paddle says `_mean`."""
    return any(name.endswith("running_mean") for name in state)


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
