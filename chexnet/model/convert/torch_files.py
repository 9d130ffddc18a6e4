"""PyTorch weight files: read without PyTorch and without running code, and written.

The formats: legacy pickle (before PyTorch 1.6), zip archive, safetensors. torch is imported here only: to write its
formats, and to read what runs code, if the user asks for it.
"""

import io
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.model.checkpoint import SAFETENSORS
from chexnet.model.checkpoint.safetensors_files import BEGINNING
from chexnet.model.convert.torch_pickles import MAX_EXPANSION, Order, TorchReader
from chexnet.model.convert.weight_names import some

_UNREADABLE = "not a readable PyTorch weight file (truncated, damaged or of another format)"

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = pickle.dumps(_LEGACY_MAGIC, 2)
_LEGACY_PROTOCOL = 1001


@dataclass(frozen=True)
class TorchFile:
    """What a PyTorch file holds.

    Attributes:
        content: what was saved: dictionaries, lists, tuples and plain values; a tensor is a `torch_pickles.Tensor` or
            an array, and an object of a class an `Unread`.
        format: the format of the file, in words.
        unknown: classes and functions that it asks for, of neither PyTorch nor NumPy; they were not run.
        widened: the types that were widened when it was read, as PyTorch spells them.
        ran_code: whether code in the file was allowed to run.
    """

    content: Any
    format: str
    unknown: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    ran_code: bool = False


def read(path: Path, allow_pickle: bool = False) -> TorchFile:
    """Reads a PyTorch or safetensors file, wherever its tensors lived when it was written.

    Args:
        path: the file; its first bytes say what it is.
        allow_pickle: run the code in the file, with PyTorch. Only for trusted files.

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
    if BEGINNING.match(start) or (path.suffix == SAFETENSORS and not torch):
        return _read_safetensors(path)
    if allow_pickle:
        return _run(path)
    if start[257:262] == b"ustar":
        raise InputError(
            f"{path}: refused: it is in PyTorch's tar format of 2016, which is read by running code; "
            "--allow_pickle does so"
        )
    if not torch and not start.startswith(b"\x80"):
        checkpoint.load(path)  # which says what it is
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
        said = f": {text}" if text.startswith(("it ", "a ", "too ")) else ""
        raise InputError(f"{path}: {_UNREADABLE}{said}") from error


def write(weights: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes a `.safetensors` file, or else `{'state_dict': weights}` in PyTorch's own format.

    Raises:
        InputError: torch is needed and missing.
        OSError: the file cannot be written.
    """
    if path.suffix == SAFETENSORS:
        checkpoint.save_weights(weights, path)
    else:
        torch = _import_torch(path)
        tensors = {name: torch.tensor(array) for name, array in weights.items()}
        # To memory first: given a path, torch.save puts the file's own name into it; given a file, it has an error of
        # its own for a full disk.
        buffer = io.BytesIO()
        torch.save({"state_dict": tensors}, buffer)
        path.write_bytes(buffer.getbuffer())


def _read_safetensors(path: Path) -> TorchFile:
    weights = checkpoint.read_safetensors(path)
    with open(path, "rb") as file:
        header = file.read(8 + int.from_bytes(file.read(8), "little"))
    return TorchFile(weights, "safetensors file", widened=("bfloat16",) if b'"BF16"' in header else ())


def _read_zip(path: Path) -> TorchFile:
    archive = zipfile.ZipFile(path)  # open as long as the content is there
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    if sum(sizes.values()) > MAX_EXPANSION * path.stat().st_size:
        raise ValueError("too much for a file of this size")
    if any(re.search(r"(^|/)(constants\.pkl$|code/)", name) for name in sizes):
        raise InputError("refused: it is a TorchScript program, not weights; --allow_pickle loads it, if you trust it")
    mains = [name for name in sizes if re.fullmatch(r"([^/]*/)?data\.pkl", name)]
    if len(mains) != 1:
        raise InputError(f"a zip archive of {len(sizes)} files, no PyTorch weight file: {some(sizes)}")
    main = mains[0]
    root = main.removesuffix("data.pkl")
    big = f"{root}byteorder" in sizes and archive.read(f"{root}byteorder") == b"big"

    @lru_cache(maxsize=1)  # tensors often share one
    def storage(key: str) -> bytes:
        return archive.read(f"{root}data/{key}")

    file = io.BytesIO(archive.read(main))
    reader = TorchReader(file, path.stat().st_size, storage, ">" if big else "<")
    content = reader.load()
    for key, size in reader.storages.items():
        if sizes[f"{root}data/{key}"] < size:
            raise ValueError("a storage is shorter than its tensors need")
    return TorchFile(content, "zip PyTorch file", tuple(reader.unknown))


def _read_legacy(path: Path) -> TorchFile:
    """Four pickles, of which the last is the content; then the keys of the storages; then the storages."""
    places: dict[str, tuple[int, int]] = {}

    @lru_cache(maxsize=1)
    def storage(key: str) -> bytes:
        start, size = places[key]
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(size)

    data = path.read_bytes()
    file = io.BytesIO(data)

    def load(order: Order = "<") -> tuple[Any, TorchReader]:
        reader = TorchReader(file, len(data), storage, order)
        return reader.load(), reader

    if load()[0] != _LEGACY_MAGIC or load()[0] != _LEGACY_PROTOCOL:
        raise ValueError("it is of an unknown version")
    system = load()[0]
    order: Order = "<" if system.get("little_endian", True) else ">"
    content, reader = load(order)
    for key in load()[0]:
        size = reader.storages[str(key)]
        place = file.tell() + 8
        (count,) = struct.unpack(f"{order}q", file.read(8))
        if count < 0 or place + size > len(data) or (size and not count):
            raise ValueError("a storage is shorter than its tensors need")
        places[str(key)] = place, size
        file.seek(place + size)
    if reader.storages.keys() != places.keys():
        raise ValueError("a storage is missing")
    return TorchFile(content, "legacy PyTorch file", tuple(reader.unknown))


def _run(path: Path) -> TorchFile:
    """What PyTorch makes of a file whose code it may run."""
    torch = _import_torch(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
        return TorchFile(_as_arrays(content, torch), "PyTorch file", ran_code=True)
    except ImportError as error:
        raise InputError(
            f"{path}: the module in it needs the package {error.name}, which is not installed; "
            "without --allow_pickle it is read without that package"
        ) from error
    except Exception as error:  # a damaged pickle raises almost anything, and so does code in the file
        raise InputError(f"{path}: PyTorch cannot load it: {str(error)[:300] or type(error).__name__}") from error


def _as_arrays(content: Any, torch: Any, depth: int = 0) -> Any:
    """Modules as their state dicts, tensors as arrays."""
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    if isinstance(content, torch.Tensor):
        tensor = content.detach()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if isinstance(content, Mapping) and depth < 20:
        return {str(name): _as_arrays(value, torch, depth + 1) for name, value in content.items()}
    if isinstance(content, (list, tuple)) and depth < 20:
        return [_as_arrays(value, torch, depth + 1) for value in content]
    return content


def _import_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: this needs PyTorch, which is not installed: pip install torch (.safetensors files do without it)"
        ) from error
    return torch
