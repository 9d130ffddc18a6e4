"""Checks of both directions: paths, names, shapes, numbers, and the output as read back."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from chexnet.errors import InputError
from chexnet.files import atomic_write, sha256
from chexnet.model.convert import weight_names
from chexnet.model.convert.torch_objects import LazyTensor

Arrays = dict[str, np.ndarray]


def check_output(source: Path, output: Path) -> None:
    """Raise InputError if the output is a folder or the source file."""
    if output.resolve() == source.resolve():
        raise InputError(f"{output}: is the file to convert; choose another name for --output")
    if output.is_dir():
        raise InputError(f"{output}: is a folder, expected the name of a file to write")


def check_unchanged(source: Path, digest: str) -> None:
    """Raise InputError if a file has changed since its SHA-256 was computed."""
    if sha256(source) != digest:
        raise InputError(f"{source}: changed while it was read; convert it again when no program writes to it")


@contextmanager
def atomic_output(output: Path) -> Iterator[Path]:
    """Wrap `chexnet.files.atomic_write` so that errors name the output instead of the temporary file."""
    with atomic_write(output) as temporary:
        try:
            yield temporary
        except InputError as error:
            raise InputError(str(error).replace(str(temporary), str(output))) from error


def to_array(value: Any) -> np.ndarray:
    """Return the numbers of a tensor; those of a `LazyTensor` are read from the file."""
    return value.array() if isinstance(value, LazyTensor) else np.asarray(value)


def collect_arrays(
    source: Path,
    expected: Mapping[str, tuple[int, ...]],
    tensors: Mapping[str, Any],
    source_names: Mapping[str, str] | None = None,
    leftover: Iterable[str] = (),
    key: str = "",
) -> Arrays:
    """Return the expected arrays as float32, if all of them are there, nothing is left over and all numbers are finite.

    Args:
        source: the file, for errors.
        expected: name -> shape.
        tensors: name -> tensor or array.
        source_names: name -> name in the file, for errors; None if they are equal.
        leftover: names of tensors that nothing uses.
        key: value of --key that would drop them; empty if there is none.

    Raises:
        InputError: one line with all problems.
    """
    spelled = {name: name for name in tensors} | dict(source_names or {})
    found = {name: tensors[name] for name in expected if name in tensors}
    problems = {
        "missing": [name for name in expected if name not in tensors],
        "left over": list(leftover),
        "of another shape": [
            f"{spelled[name]} {list(tensor.shape)} for {list(expected[name])}"
            for name, tensor in found.items()
            if tuple(tensor.shape) != expected[name]
        ],
    }
    arrays: Arrays = {}
    if not problems["of another shape"]:
        try:
            arrays = {name: to_array(tensor) for name, tensor in found.items()}
        except Exception as error:  # a damaged archive raises almost anything
            raise InputError(f"{source}: not readable: {str(error) or type(error).__name__}") from error
        problems["not floating-point"] = [spelled[name] for name, array in arrays.items() if array.dtype.kind != "f"]
        with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond the range of float32 becomes infinite
            arrays = {name: np.ascontiguousarray(array, dtype="float32") for name, array in arrays.items()}
        problems["with NaN or infinity"] = [
            spelled[name] for name, array in arrays.items() if not np.isfinite(array).all()
        ]
    lines = [f"{kind} {len(names)}: {weight_names.summarize(names)}" for kind, names in problems.items() if names]
    if lines:
        hint = f". --key {key} drops what does not belong to the network" if problems["left over"] and key else ""
        raise InputError(f"{source}: nothing was converted. {'; '.join(lines)}{hint}")
    return arrays


def check_read_back(output: Path, written: Arrays, read: Mapping[str, np.ndarray]) -> None:
    """Raise InputError if the arrays read back differ from those written."""
    if written.keys() != read.keys() or not all(np.array_equal(written[name], read[name]) for name in written):
        raise InputError(f"{output}: the arrays read back differ from those written, so the file was not kept")


def count_values(state: Arrays) -> int:
    """Return the number of numbers in arrays."""
    return sum(array.size for array in state.values())
