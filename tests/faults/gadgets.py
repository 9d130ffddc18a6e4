"""Handwritten pickles that run code when they are unpickled without restrictions."""

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


def text(value: object) -> bytes:
    return b"X" + struct.pack("<I", len(str(value).encode())) + str(value).encode()


def number(value: int) -> bytes:
    encoded = pickle.encode_long(value)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def called(module: str, name: str, *arguments: bytes) -> bytes:
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


PLACEHOLDER = "the place of the gadget"


def planted(content: object, gadget: bytes) -> bytes:
    """Return the pickle of `content` with the instructions of `gadget` instead of PLACEHOLDER."""
    return replaced(pickle.dumps(content, 2), gadget)


def replaced(data: bytes, gadget: bytes) -> bytes:
    assert data.count(text(PLACEHOLDER)) == 1
    return data.replace(text(PLACEHOLDER), gadget)


def write_legacy(torch, content: object, gadget: bytes, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)
    path.write_bytes(replaced(path.read_bytes(), gadget))


def write_zip(torch, content: object, gadget: bytes, path: Path) -> None:
    whole = io.BytesIO()
    torch.save(content, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, replaced(data, gadget) if name.endswith("data.pkl") else data)


WRITERS = {"legacy": write_legacy, "zip": write_zip}


# Gadgets


class Payload:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


class CodeInSetstate:
    """An object that creates a folder when its state is set."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __getstate__(self):
        return self.marker

    def __setstate__(self, marker: str) -> None:
        os.mkdir(marker)


class CodeInNew:
    """An object that creates a folder when it is created."""

    def __new__(cls, marker: str):
        os.mkdir(marker)
        return super().__new__(cls)


EXTENSION = 240
"""Code in the extension registry that these tests assign to posix.system."""


def array_file(marker: Path) -> Path:
    path = marker.with_suffix(".npy")
    np.save(path, np.array([Payload(marker)]), allow_pickle=True)
    return path


def script(marker: Path) -> Path:
    path = marker.with_suffix(".py")
    path.write_text(f"import os; os.mkdir({str(marker)!r})")
    return path


def shell(marker: Path) -> bytes:
    return text(f"mkdir {marker}")


def python(marker: Path) -> bytes:
    return text(f"__import__('os').mkdir({str(marker)!r})")


class Gadget(NamedTuple):
    """Instructions that create the folder `marker`, and the name of their function in the refusal."""

    code: Callable[[Path], bytes]
    refusal: str
    torch_refusal: str = ""
    live: bool = True


GADGETS = {
    "os.system": Gadget(lambda marker: called("posix", "system", shell(marker)), "posix.system"),
    "os.system on Windows": Gadget(lambda marker: called("nt", "system", shell(marker)), "nt.system", live=False),
    "exec": Gadget(lambda marker: called("builtins", "exec", python(marker)), "builtins.exec", "exec"),
    "eval": Gadget(lambda marker: called("builtins", "eval", python(marker)), "builtins.eval", "eval"),
    "eval of Python 2": Gadget(
        lambda marker: called("__builtin__", "eval", python(marker)), "__builtin__.eval", "eval"
    ),
    "subprocess.Popen": Gadget(
        lambda marker: called("subprocess", "Popen", b"(" + text("mkdir") + text(marker) + b"t"), "subprocess.Popen"
    ),
    "runpy": Gadget(lambda marker: called("runpy", "run_path", text(script(marker))), "runpy.run_path"),
    "importlib": Gadget(
        lambda marker: called("importlib", "import_module", text(script(marker).stem)), "importlib.import_module"
    ),
    "getattr": Gadget(
        lambda marker: (
            called("builtins", "getattr", called("importlib", "import_module", text("os")), text("mkdir"))
            + text(marker)
            + b"\x85R"
        ),
        "builtins.getattr",
        "importlib.import_module",
    ),
    "pickle.loads": Gadget(
        lambda marker: called("pickle", "loads", called("_codecs", "encode", text(hostile(marker)), text("latin1"))),
        "pickle.loads",
    ),
    "numpy.load": Gadget(lambda marker: called("numpy", "load", text(array_file(marker)), b"N", b"\x88"), "numpy.load"),
    "torch.load": Gadget(lambda marker: called("torch", "load", text(marker)), "torch.load", live=False),
    "torch.hub": Gadget(lambda marker: called("torch.hub", "load", text(marker)), "torch.hub.load", live=False),
    "functools.partial": Gadget(
        lambda marker: called("functools", "partial", named("posix", "mkdir"), text(marker)) + b")R",
        "functools.partial",
        "posix.mkdir",
    ),
    "__reduce__": Gadget(lambda marker: pickle_body(Payload(marker)), "posix.mkdir"),
    "__setstate__": Gadget(lambda marker: pickle_body(CodeInSetstate(marker)), "faults.gadgets.CodeInSetstate"),
    "__new__": Gadget(
        lambda marker: named(CodeInNew.__module__, "CodeInNew") + text(marker) + b"\x85\x81", "faults.gadgets.CodeInNew"
    ),
    "instance": Gadget(lambda marker: b"(" + shell(marker) + b"iposix\nsystem\n", "posix.system"),
    "object": Gadget(lambda marker: b"(" + named("posix", "system") + shell(marker) + b"o", "posix.system"),
    "names on the stack": Gadget(
        lambda marker: text("posix") + text("system") + b"\x93" + shell(marker) + b"\x85R",
        "posix.system",
    ),
    "dotted names": Gadget(
        lambda marker: b"\x80\x04" + text("posixpath") + text("os.system") + b"\x93" + shell(marker) + b"\x85R",
        "posixpath.os.system",
    ),
    "names below an allowed one": Gadget(
        lambda marker: (
            b"\x80\x04"
            + text("numpy")
            + text("dtype.__class__.__subclasses__")
            + b"\x93"
            + named("numpy", "dtype")
            + b"\x85R"
        ),
        "numpy.dtype.__class__.__subclasses__",
        live=False,
    ),
    "extension registry": Gadget(
        lambda marker: b"\x82" + bytes([EXTENSION]) + shell(marker) + b"\x85R",
        "the pickle opcode EXT1",
        "the pickle opcode EXT1",
    ),
    "persistent id": Gadget(
        lambda marker: b"Pposix.system\n", "the pickle opcode PERSID", "the pickle opcode PERSID", live=False
    ),
    "persistent object": Gadget(
        lambda marker: text("posix.system") + b"Q",
        "the pickle opcode BINPERSID",
        "a persistent object",
        live=False,
    ),
}


def pickle_body(value: object) -> bytes:
    """Return the instructions that create `value`, without the beginning and the end of a pickle."""
    return pickle.dumps(value, 2)[2:-1]


def hostile(marker: Path) -> str:
    return (called("posix", "system", shell(marker)) + b".").decode()
