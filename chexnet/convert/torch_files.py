"""PyTorch weight files: read without running code unless the user asks for it, and written.

The formats: legacy pickle (before PyTorch 1.6), zip archive, safetensors. torch is imported here only,
and only for the first two; the third is `chexnet.checkpoint`'s.
"""

import io
import pickletools
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chexnet import checkpoint
from chexnet.checkpoint import SAFETENSORS
from chexnet.errors import InputError

CONTAINERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs keep the weights in a checkpoint."""

OLDEST_TORCH = (2, 10)
"""Before it, files read with `weights_only=True` could corrupt memory and run code (CVE-2026-24747)."""

MOST_FOR_A_BYTE = 10
"""How many bytes in memory a byte of a file may stand for. PyTorch packs nothing, but others may have."""

_NUMPY_NAMES = (
    "dtype",
    "ndarray",
    *(f"{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
)


class _Unread:
    """Stands for a NumPy value beside the weights, such as `best_loss`: nothing of NumPy is called."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


@dataclass(frozen=True)
class TorchFile:
    """What a PyTorch weight file holds, under its own names.

    Attributes:
        weights: name -> array; bfloat16 is widened to float32, other types are as stored.
        format: the format of the file and the place of the weights in it, in words.
        beside: what else is in the file (epoch, optimizer ...), by name.
        precisions: the floating-point types in the file, as PyTorch spells them.
        ran_code: whether code in the file was allowed to run.
    """

    weights: dict[str, np.ndarray]
    format: str
    beside: tuple[str, ...] = ()
    precisions: frozenset[str] = field(default_factory=frozenset)
    ran_code: bool = False


def read(path: Path, allow_pickle: bool = False) -> TorchFile:
    """Reads the tensors of a PyTorch or safetensors file, wherever they lived when it was written.

    Args:
        path: the file; `.safetensors` is read as such, everything else by `torch.load`.
        allow_pickle: run the code in the file, as a pickled module needs. Only for trusted files.

    Raises:
        InputError: the file is missing, unreadable, holds no tensors or asks to run code; or torch is
            missing or too old.
    """
    try:
        with open(path, "rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if empty:
        raise InputError(f"{path}: is empty, expected a PyTorch weight file")
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path)
    return _read_torch(path, allow_pickle)


def write(weights: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes a `.safetensors` file, or else `{'state_dict': weights}` in PyTorch's own format.

    Raises:
        InputError: torch is needed and missing.
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
    precisions = frozenset(array.dtype.name for array in weights.values() if array.dtype.kind == "f")
    return TorchFile(weights, "safetensors file", precisions=precisions)


def _read_torch(path: Path, allow_pickle: bool) -> TorchFile:
    torch = _import_torch(path)
    stand_ins = [(_Unread, f"numpy.{name}") for name in _NUMPY_NAMES]
    try:
        zipped = zipfile.is_zipfile(path)
        if zipped:
            with zipfile.ZipFile(path) as archive:
                _check_size(sum(entry.file_size for entry in archive.infolist()), path)
        if allow_pickle:
            content = torch.load(path, map_location="cpu", weights_only=False)
        else:
            with torch.serialization.safe_globals(stand_ins):
                content = torch.load(path, map_location="cpu", weights_only=True)
        state, place, beside = _find_weights(content, torch)
        tensors = {name: value.detach() for name, value in state.items() if isinstance(value, torch.Tensor)}
        _check_size(sum(value.numel() * value.element_size() for value in tensors.values()), path)
        weights = {
            name: (value.float() if value.dtype == torch.bfloat16 else value).numpy() for name, value in tensors.items()
        }
    except Exception as error:  # a damaged pickle raises almost anything, and so does code in the file
        raise InputError(f"{path}: {_why_unreadable(error)}") from error
    if not weights:
        raise InputError(f"{path}: no tensors found in {place}, expected the weights of a DenseNet-121")
    return TorchFile(
        weights,
        f"{'zip' if zipped else 'legacy'} PyTorch file, weights in {place}",
        (*beside, *(name for name in state if name not in tensors)),
        frozenset(str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point()),
        allow_pickle,
    )


def _check_size(size: int, path: Path) -> None:
    """A few bytes of an archive, or one number repeated by a stride of zero, may claim to be terabytes."""
    if size > MOST_FOR_A_BYTE * path.stat().st_size:
        raise ValueError("too much for a file of this size")


def _find_weights(content: Any, torch: Any) -> tuple[Mapping[str, Any], str, tuple[str, ...]]:
    """The state dict in what `torch.load` returned, where it was, and the names of what was beside it."""
    if isinstance(content, torch.nn.Module):
        return content.state_dict(), "a pickled module", ()
    if not isinstance(content, Mapping):
        return {}, f"a {type(content).__name__}", ()
    for key in CONTAINERS:
        inner = content.get(key)
        beside = tuple(str(name) for name in content if name != key)
        if isinstance(inner, torch.nn.Module):
            return inner.state_dict(), f"the pickled module at '{key}'", beside
        if isinstance(inner, Mapping):
            return {str(name): value for name, value in inner.items()}, f"'{key}'", beside
    return {str(name): value for name, value in content.items()}, "a bare state dict", ()


def _why_unreadable(error: Exception) -> str:
    text = str(error)
    if asked := re.search(r"GLOBAL ([\w.]*\w) ", text):
        return (
            f"refused: it asks to run {asked[1]}, so it is more than weights (perhaps a whole pickled "
            "module); it was not run. --allow_pickle runs it: only for a file whose origin you trust"
        )
    if isinstance(error, ImportError):
        return f"the module in it needs the package {error.name}, which is not installed"
    if "TorchScript" in text:
        return "refused: it is a TorchScript program, not weights; --allow_pickle loads it, if you trust it"
    if "legacy .tar format" in text:
        return "refused: it is in PyTorch's tar format of 2016, which is read by running code; --allow_pickle does so"
    if "persistent_load" in text:
        return (
            "refused: it is a whole pickled module and would run code; it was not run. "
            "--allow_pickle runs it: only for a file whose origin you trust"
        )
    unreadable = "not a readable PyTorch weight file (truncated, damaged or of another format)"
    if asked := re.search(r"Unsupported operand (\d+)", text):
        name = {ord(known.code): known.name for known in pickletools.opcodes}.get(int(asked[1]), asked[1])
        return f"{unreadable}: it has the pickle instruction {name}, which such files do not; it was not run"
    return unreadable


def _import_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: needs PyTorch, which is not installed: pip install torch (.safetensors files do without it)"
        ) from error
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise InputError(
            f"{path}: PyTorch {torch.__version__} is too old to read files of unknown origin safely "
            f"(CVE-2026-24747), expected {oldest} or newer: pip install -U torch"
        )
    return torch
