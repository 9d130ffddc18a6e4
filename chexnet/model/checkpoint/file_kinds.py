"""Identify files that are not weights by their first bytes."""

import io
import os
import re
import shlex
import zipfile
from pathlib import Path

from chexnet.model.checkpoint.checksum_line import CorruptFileError
from chexnet.model.checkpoint.safetensors_files import HEADER_START

_TORCH_LEGACY = re.compile(
    rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19(\x94)?\.", re.DOTALL
)
"""A pickle of PyTorch's magic number. Files of `torch.save` before version 1.6 begin with it."""

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer: run git lfs pull to download the file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes it"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\0" * 16 + b"\x04\0\0\0\x08", "the weights of an exported Paddle program (.pdiparams), without names"),
    (b"\0" * 16, "a file that begins with zeros, unlike any weight file"),
    (b"GGUF", "a GGUF file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"BM", "a BMP image"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"x\x9c", "a zlib stream"),
    (b"BZh", "a bzip2 archive: unpack it first"),
    (b"\xfd7zXZ\0", "an xz archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive: unpack it first"),
)


def identify_wrong_kind(path: str | os.PathLike[str], data: bytes) -> CorruptFileError | None:
    """Return an error if the first bytes show that a file is not a pickle of weights.

    Args:
        path: the file.
        data: all of its bytes.

    Returns:
        An error with one line that names the kind of file and, for a PyTorch file, the command that converts it. None
        for a pickle.
    """
    if _TORCH_LEGACY.match(data):
        kind, torch = "a PyTorch file", True
    elif data.startswith(b"PK\x03\x04"):
        kind, torch = _identify_zip(data)
    elif data[257:262] == b"ustar":
        kind, torch = "a tar archive: unpack it first", False
    elif data.startswith(b"\x80"):
        return None
    else:
        kind, torch = _identify_by_signature(data), False
    if torch:
        return CorruptFileError(f"{path}: is {kind}; convert it: {convert_command(path)}")
    return CorruptFileError(f"{path}: is {kind}; expected weights, .pdparams or .safetensors")


def convert_command(path: str | os.PathLike[str]) -> str:
    """Return the command that converts a PyTorch file to an unused name in the same folder."""
    source = Path(path)
    stem = re.sub(r"(\.pth)?\.[^.]*$", "", source.name) or source.name
    number, target = 1, source.with_name(f"{stem}.pdparams")
    while target.exists() or target.with_suffix(".json").exists():
        number += 1
        target = source.with_name(f"{stem}_{number}.pdparams")
    return f"python convert_torch_weights.py --torch_ckpt {shlex.quote(str(path))} --output {shlex.quote(str(target))}"


def _identify_zip(data: bytes) -> tuple[str, bool]:
    """Return the kind of a zip archive, and True if convert_torch_weights.py reads it."""
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except Exception:  # a damaged archive raises almost anything
        return "a zip archive (such as a PyTorch file) whose end is missing or damaged", False
    if any(name.endswith("/data.pkl") for name in names):
        if any(name.endswith("/constants.pkl") for name in names):
            return "a TorchScript program, not only weights: save its state_dict() instead", False
        return "a PyTorch file", True
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays (.npz)", False
    if "model.weights.h5" in names:
        return "a Keras model", False
    first = f", the first of them {names[0][:60]!r}" if names else ""
    return f"a zip archive of {len(names):,} files{first}: unpack it first", False


def _identify_by_signature(data: bytes) -> str:
    if not data:
        return "empty"
    if found := next((kind for signature, kind in _SIGNATURES if data.startswith(signature)), ""):
        return found
    if data[128:132] == b"DICM":
        return "a DICOM file"
    if data[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if re.match(rb"\x08[\x01-\x20](\x12|:|B).*(onnx|pytorch|graph|tf2onnx|paddle)", data[:400], re.DOTALL):
        return "an ONNX network"
    if re.match(rb"\n.{1,3}\x08\0\x10\xff{9}\x01", data[:40], re.DOTALL):
        return "an exported Paddle program (.pdmodel)"
    if HEADER_START.match(data):
        return "the beginning of a .safetensors file"
    return _identify_text(data)


def _identify_text(data: bytes) -> str:
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if re.match(rb"<(!doctype html|html|head|body)", head, re.IGNORECASE):
        return "a web page (HTML)"
    if head.startswith(b"<?xml"):
        return "an XML file"
    if head.startswith((b'{"base_code"', b'{"program"')):
        return "an exported Paddle program (.json)"
    if head.startswith((b"{", b"[")) and _is_text(head):
        return "a JSON file"
    if _is_text(head):
        return f"a text file that begins with {head[:40].decode(errors='replace')!r}"
    return f"a file of an unknown kind (it begins with the bytes {data[:8].hex(' ')})"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        text = head[: error.start].decode()
        if error.start < len(head) - 3:  # more than a character cut at the end
            return False
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)
