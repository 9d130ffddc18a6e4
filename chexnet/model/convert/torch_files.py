"""PyTorch weight files: read without PyTorch and without running code, and written.

The formats are legacy pickle (before PyTorch 1.6), zip archive and safetensors. Only this module imports torch: to
write PyTorch's formats, and to run the code in a file if the user allows it.
"""

import io
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.model.checkpoint import SAFETENSORS
from chexnet.model.checkpoint.safetensors_files import HEADER_START
from chexnet.model.convert.torch_pickles import MAX_EXPANSION, ByteOrder, TorchUnpickler
from chexnet.model.convert.weight_names import summarize

_UNREADABLE = "not a readable PyTorch weight file (truncated, damaged or of another format)"

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = pickle.dumps(_LEGACY_MAGIC, 2)
_LEGACY_PROTOCOL = 1001


@dataclass(frozen=True)
class TorchFile:
    """Content of a PyTorch file.

    Attributes:
        content: dictionaries, lists, tuples and plain values; a tensor is a `torch_objects.LazyTensor` or an array, and
            an object of a class is an `UnreadObject`.
        format: name of the file format.
        unknown: classes and functions that the file names, of neither PyTorch nor NumPy; they were not run.
        widened: dtypes that reading widened, by PyTorch's names.
        ran_code: True if code in the file was allowed to run.
        close: closes the file; lazy tensors cannot be read afterwards. On Windows, an open file cannot be replaced.
    """

    content: Any
    format: str
    unknown: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    ran_code: bool = False
    close: Callable[[], None] = field(default=lambda: None)


def read(path: Path, allow_pickle: bool = False) -> TorchFile:
    """Read a PyTorch or safetensors file, for any device that its tensors were saved from.

    Args:
        path: the file; its first bytes decide its format.
        allow_pickle: True runs the code in the file, with PyTorch. Only for trusted files.

    Raises:
        InputError: the file is missing, unreadable, of another kind or asks to run code; or torch is needed and
            missing or too old.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(600)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not start:
        raise InputError(f"{path}: is empty, expected a PyTorch weight file")
    torch = start.startswith((_LEGACY_START, b"PK"))
    if HEADER_START.match(start) or (path.suffix == SAFETENSORS and not torch):
        return _read_safetensors(path)
    if allow_pickle:
        return _load_with_torch(path)
    if start[257:262] == b"ustar":
        raise InputError(
            f"{path}: refused: it is in PyTorch's tar format of 2016, which cannot be read without running code; "
            "--allow_pickle runs it"
        )
    if not torch and not start.startswith(b"\x80"):
        checkpoint.load(path)  # raises an error that names the kind of file
    try:
        if torch:
            return _read_zip(path) if start.startswith(b"PK") else _read_legacy(path)
        return TorchFile(checkpoint.load(path), "pickle of arrays")
    except checkpoint.CorruptFileError as error:
        raise InputError(f"{path}: {_UNREADABLE}") from error
    except InputError as error:
        raise InputError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except Exception as error:  # a damaged pickle raises almost anything
        text = str(error) if isinstance(error, ValueError) else ""
        reason = f": {text}" if text.startswith(("it ", "a ", "too ")) else ""
        raise InputError(f"{path}: {_UNREADABLE}{reason}") from error


def write(weights: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a `.safetensors` file or, for any other suffix, `{'state_dict': weights}` in PyTorch's format.

    Raises:
        InputError: torch is needed and missing.
        OSError: the file cannot be written.
    """
    if path.suffix == SAFETENSORS:
        checkpoint.save_weights(weights, path)
    else:
        torch = _import_torch(path)
        tensors = {name: torch.tensor(array) for name, array in weights.items()}
        # To memory first: given a path, torch.save stores the file name in the file; given a file object, it raises its
        # own error type on a full disk.
        buffer = io.BytesIO()
        torch.save({"state_dict": tensors}, buffer)
        path.write_bytes(buffer.getbuffer())


def _read_safetensors(path: Path) -> TorchFile:
    weights = checkpoint.read_safetensors(path)
    with open(path, "rb") as file:
        header = file.read(8 + int.from_bytes(file.read(8), "little"))
    return TorchFile(weights, "safetensors file", widened=("bfloat16",) if b'"BF16"' in header else ())


def _read_zip(path: Path) -> TorchFile:
    with ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(path))  # stays open for the lazy tensors
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        if sum(sizes.values()) > MAX_EXPANSION * path.stat().st_size:
            raise ValueError("too much data for a file of this size")
        if any(re.search(r"(^|/)(constants\.pkl$|code/)", name) for name in sizes):
            raise InputError(
                "refused: it is a TorchScript program, not weights; --allow_pickle loads a file that you trust"
            )
        pickles = [name for name in sizes if re.fullmatch(r"([^/]*/)?data\.pkl", name)]
        if len(pickles) != 1:
            raise InputError(f"a zip archive of {len(sizes)} files, not a PyTorch weight file: {summarize(sizes)}")
        root = pickles[0].removesuffix("data.pkl")
        big_endian = f"{root}byteorder" in sizes and archive.read(f"{root}byteorder") == b"big"

        @lru_cache(maxsize=1)  # tensors often share a storage
        def storage(key: str) -> bytes:
            return archive.read(f"{root}data/{key}")

        file = io.BytesIO(archive.read(pickles[0]))
        unpickler = TorchUnpickler(file, path.stat().st_size, storage, ">" if big_endian else "<")
        content = unpickler.load()
        for key, size in unpickler.storages.items():
            if sizes[f"{root}data/{key}"] < size:
                raise ValueError("a storage is shorter than its tensors need")
        return TorchFile(content, "zip PyTorch file", tuple(unpickler.unknown), close=stack.pop_all().close)


def _read_legacy(path: Path) -> TorchFile:
    """Read four pickles, of which the last is the content, then the keys of the storages, then the storages."""
    locations: dict[str, tuple[int, int]] = {}

    @lru_cache(maxsize=1)
    def storage(key: str) -> bytes:
        start, size = locations[key]
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(size)

    data = path.read_bytes()
    file = io.BytesIO(data)

    def load(order: ByteOrder = "<") -> tuple[Any, TorchUnpickler]:
        unpickler = TorchUnpickler(file, len(data), storage, order)
        return unpickler.load(), unpickler

    if load()[0] != _LEGACY_MAGIC or load()[0] != _LEGACY_PROTOCOL:
        raise ValueError("it is of an unknown version")
    system = load()[0]
    order: ByteOrder = "<" if system.get("little_endian", True) else ">"
    content, unpickler = load(order)
    for key in load()[0]:
        size = unpickler.storages[str(key)]
        start = file.tell() + 8
        (count,) = struct.unpack(f"{order}q", file.read(8))
        if count < 0 or start + size > len(data) or (size and not count):
            raise ValueError("a storage is shorter than its tensors need")
        locations[str(key)] = start, size
        file.seek(start + size)
    if unpickler.storages.keys() != locations.keys():
        raise ValueError("a storage is missing")
    return TorchFile(content, "legacy PyTorch file", tuple(unpickler.unknown))


def _load_with_torch(path: Path) -> TorchFile:
    """Load a file with PyTorch, which may run code in it."""
    torch = _import_torch(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
        return TorchFile(_to_arrays(content, torch), "PyTorch file", ran_code=True)
    except ImportError as error:
        raise InputError(
            f"{path}: the pickled module needs the package {error.name}, which is not installed; "
            "without --allow_pickle, the file is read without that package"
        ) from error
    except Exception as error:  # a damaged pickle raises almost anything, and so does code in the file
        raise InputError(f"{path}: PyTorch cannot load it: {str(error)[:300] or type(error).__name__}") from error


def _to_arrays(content: Any, torch: Any, depth: int = 0) -> Any:
    """Convert modules to their state dicts, and tensors to arrays."""
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    if isinstance(content, torch.Tensor):
        tensor = content.detach()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if isinstance(content, Mapping) and depth < 20:
        return {str(name): _to_arrays(value, torch, depth + 1) for name, value in content.items()}
    if isinstance(content, (list, tuple)) and depth < 20:
        return [_to_arrays(value, torch, depth + 1) for value in content]
    return content


def _import_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: this needs PyTorch, which is not installed: pip install torch (not needed for .safetensors files)"
        ) from error
    return torch
