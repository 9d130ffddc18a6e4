"""Weights of a network: one flat dictionary of arrays, in either file format."""

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
    from chexnet.device import paddle

_MAX_NAMES = 8  # in an error message


@dataclass(frozen=True)
class WeightFile:
    """A weight file, read once.

    Attributes:
        path: the file.
        weights: name -> array.
        sha256: SHA-256 of the bytes that the weights were read from, in hexadecimal.
        metadata: metadata of the weights (backbone, classes, preprocessing, origin); empty if there is none.
        metadata_source: the file that holds the metadata: the weight file itself, or the JSON file next to it.
    """

    path: Path
    weights: dict[str, np.ndarray]
    sha256: str
    metadata: dict[str, Any]
    metadata_source: Path


def open_weights(path: str | os.PathLike[str]) -> WeightFile:
    """Read weights and their metadata.

    The metadata in the file takes precedence over the JSON file next to it. Files of other programs and of earlier
    versions hold none. They use the JSON file, unless it has the SHA-256 of other weights.

    Raises:
        InputError: as for `read_weights` and `read_metadata_file`; or the JSON file describes other weights.
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
            f"{digest}; expected the JSON of these weights, which train.py --resume writes again. If the two "
            f"do belong together, remove {WEIGHTS_SHA256!r} from the JSON"
        )
    return WeightFile(Path(path), weights, digest, metadata, metadata_path(path))


def read_metadata(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Path]:
    """Read the metadata of a weight file and the path of the file that holds it, see `WeightFile`.

    If the weight file is missing, its JSON file is read.

    Raises:
        InputError: as for `open_weights`.
    """
    if not Path(path).exists():
        return read_metadata_file(path), metadata_path(path)
    file = open_weights(path)
    return file.metadata, file.metadata_source


def read_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the weights of a network. The content decides the format, not the file name.

    Returns:
        Name -> array, as stored in the file.

    Raises:
        InputError: the file is missing, unreadable, damaged, asks to run code, holds other values than arrays, or is of
            another kind, which the message names.
    """
    return _parse(read_bytes(path), path)[0]


def _parse(data: bytes, path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    if safetensors_files.is_safetensors(data):
        return safetensors_files.parse(data, path)
    state, metadata = pickles.parse(data, path)
    return nested_weights.find_weights(state, path), metadata


def save_checkpoint(
    weights: Mapping[str, Any],
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    precision: Literal["float32", "float16"] = "float32",
) -> str:
    """Save weights with their metadata as `save_weights` does, and a copy of the metadata as JSON for people.

    The JSON file identifies its weights by their `weights_sha256`.
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
    """Save weights atomically; the same weights and metadata give the same bytes.

    Args:
        weights: name -> Paddle tensor or array. Floating-point numbers are converted to `precision`; others keep their
            dtype.
        path: the file, replaced if it exists; its suffix, one of `WEIGHT_SUFFIXES`, selects the format.
        precision: float16 halves the size of the file; loading converts to float32 again.
        metadata: JSON-serializable metadata of the weights, stored in the file. None stores none, so that the JSON file
            next to the weight file is used.

    Returns:
        The SHA-256 of the file's bytes, in hexadecimal.

    Raises:
        InputError: the suffix is unknown, a number is too large for `precision`, `metadata` is too large, or the file
            cannot be written. An existing file stays unchanged.
    """
    check_suffix(path)
    arrays = {name: _to_storage_array(value, np.dtype(precision)) for name, value in weights.items()}
    if large := [name for name, array in arrays.items() if array.dtype == np.float16 and np.isinf(array).any()]:
        raise InputError(f"{path}: nothing written, {', '.join(large)} hold numbers too large for {precision}")
    write = safetensors_files.write if Path(path).suffix == SAFETENSORS else pickles.save
    return write(arrays, path, metadata)


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raise InputError if `save_weights` has no format for this file name."""
    if Path(path).suffix not in WEIGHT_SUFFIXES:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(WEIGHT_SUFFIXES)}")


def load_weights(network: "paddle.nn.Layer", path: str | os.PathLike[str]) -> None:
    """Load every parameter and buffer of `network` from a weight file, or none if an error is raised.

    Raises:
        InputError: the file is unreadable, or its names or shapes are not exactly those of the network.
    """
    load_state_dict(network, read_weights(path), str(path))


def load_state_dict(network: "paddle.nn.Layer", state: Mapping[str, Any], source: str) -> None:
    """Load every parameter and buffer of `network` from arrays, or none if an error is raised.

    Args:
        network: filled in place.
        state: name -> array.
        source: origin of the arrays, for errors.

    Raises:
        InputError: one line with the number and the first names of arrays that are missing, unexpected, of another
            shape, or without usable numbers.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    faults: dict[str, list[str]] = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
    }
    for name in expected.keys() & state.keys():
        if fault := _find_fault(name, state[name], expected[name]):
            faults.setdefault(fault, []).append(name)
    problems = [f"{fault} {len(names)}: {_join_names(names)}" for fault, names in faults.items() if names]
    if problems:
        hint = ""
        if _has_torch_names(state):
            hint = f". These are the names of PyTorch; convert the file: {file_kinds.convert_command(source)}"
        raise InputError(f"{source}: does not fit the network, nothing was loaded. {'; '.join(problems)}{hint}")
    network.set_state_dict({name: state[name].astype("float32") for name in expected})


def _join_names(names: list[str]) -> str:
    return ", ".join(name[:80] for name in sorted(names)[:_MAX_NAMES]) + ", ..." * (len(names) > _MAX_NAMES)


def _has_torch_names(state: Mapping[str, Any]) -> bool:
    """Return True if batch norm has the names of PyTorch, where Paddle uses `_mean`."""
    return any(name.endswith("running_mean") for name in state)


def _find_fault(name: str, value: Any, shape: tuple[int, ...]) -> str | None:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return "not an array of floating-point numbers"
    if value.shape != shape:
        return f"of shape {list(value.shape)} for {list(shape)}"
    # ReLU turns NaN into 0, so that broken weights would give plausible probabilities.
    if not np.isfinite(value).all() or np.abs(value).max(initial=0) > np.finfo("float32").max:
        return "with NaN or infinity"
    if name.endswith("_variance") and (value < 0).any():
        return "with a negative variance"
    return None


def _to_storage_array(value: Any, precision: np.dtype[Any]) -> np.ndarray:
    if hasattr(value, "numpy"):
        # Before the conversion to an array, because NumPy has no bfloat16.
        value = (value.astype("float32") if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    dtype = precision if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # the caller reports infinite values
        return array.astype(dtype, order="C", copy=False)
