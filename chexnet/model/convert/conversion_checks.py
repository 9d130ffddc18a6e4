"""What both directions check: paths, names, shapes, numbers, and what was written."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from chexnet.errors import InputError
from chexnet.files import atomic_write, sha256
from chexnet.model.convert import weight_names
from chexnet.model.convert.torch_pickles import Tensor

Arrays = dict[str, np.ndarray]


def check_output(source: Path, output: Path) -> None:
    """Raises InputError if a file cannot be written there, or is the one that is read."""
    if output.resolve() == source.resolve():
        raise InputError(f"{output}: is the file to convert; give --output another name")
    if output.is_dir():
        raise InputError(f"{output}: is a folder, expected the name of a file to write")


def check_unchanged(source: Path, digest: str) -> None:
    """Raises InputError if a file is not what it was when its SHA-256 was taken, before it was read."""
    if sha256(source) != digest:
        raise InputError(f"{source}: changed while it was read; convert it again when nothing writes to it")


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """`chexnet.files.atomic_write`, whose temporary path no error names."""
    with atomic_write(output) as temporary:
        try:
            yield temporary
        except InputError as error:
            raise InputError(str(error).replace(str(temporary), str(output))) from error


def to_array(value: Any) -> np.ndarray:
    """The numbers of a tensor, which are read now if it is one of a file."""
    return value.array() if isinstance(value, Tensor) else np.asarray(value)


def checked(
    source: Path,
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, Any],
    spellings: Mapping[str, str] | None = None,
    left_over: Iterable[str] = (),
    key: str = "",
) -> Arrays:
    """The wanted arrays as float32, if they are all there, nothing else is, and all are finite numbers."""
    spelled = {name: name for name in found} | dict(spellings or {})
    there = {name: found[name] for name in wanted if name in found}
    wrong = {
        "missing": [name for name in wanted if name not in found],
        "left over": list(left_over),
        "of another shape": [
            f"{spelled[name]} {list(one.shape)} for {list(wanted[name])}"
            for name, one in there.items()
            if tuple(one.shape) != wanted[name]
        ],
    }
    arrays: Arrays = {}
    if not wrong["of another shape"]:
        try:
            arrays = {name: to_array(one) for name, one in there.items()}
        except Exception as error:  # what a damaged archive raises
            raise InputError(f"{source}: not readable: {str(error) or type(error).__name__}") from error
        wrong["not floating-point"] = [spelled[name] for name, array in arrays.items() if array.dtype.kind != "f"]
        with np.errstate(over="ignore", invalid="ignore"):  # a float64 beyond float32 turns infinite
            arrays = {name: np.ascontiguousarray(array, dtype="float32") for name, array in arrays.items()}
        wrong["with NaN or infinity"] = [
            spelled[name] for name, array in arrays.items() if not np.isfinite(array).all()
        ]
    problems = [f"{what} {len(of)}: {weight_names.some(of)}" for what, of in wrong.items() if of]
    if problems:
        way = f". --key {key} leaves out what does not belong to it" if wrong["left over"] and key else ""
        raise InputError(f"{source}: nothing was converted. {'; '.join(problems)}{way}")
    return arrays


def compare(output: Path, written: Arrays, read: Mapping[str, np.ndarray]) -> None:
    """Raises InputError if what was read back is not what was written."""
    if written.keys() != read.keys() or not all(np.array_equal(written[name], read[name]) for name in written):
        raise InputError(f"{output}: what was read back is not what was written, so nothing was kept")


def count_values(state: Arrays) -> int:
    """Number of numbers in arrays."""
    return sum(array.size for array in state.values())
