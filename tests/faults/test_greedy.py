"""Files that request far more memory than their content needs."""

import os
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from faults.gadgets import PLACEHOLDER, WRITERS, called, named, number, planted, text

MEMORY_LIMIT = 2**30
"""Bytes of memory that reading may use, in addition to those of the program at its start."""

READ = """
import resource, sys, time
from pathlib import Path
from chexnet.model import checkpoint
from chexnet.model.convert import torch_files
from chexnet.errors import InputError

if sys.argv[1].endswith(".pth"):
    read = torch_files.read
else:
    read = checkpoint.load
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + MEMORY_LIMIT
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for name in sys.argv[1:]:
    try:
        read(Path(name))
        print(name, "was read")
    except InputError as error:
        print(error)
"""


def outcomes(paths: list[Path]) -> list[str]:
    """Read each file in a process with limited memory and return one line per file: its error or "was read"."""
    code = READ.replace("MEMORY_LIMIT", str(MEMORY_LIMIT))
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def array(shape: bytes, kind: bytes, data: bytes, made: bytes = b"K\x00\x85", code: bytes = b"C\x01b") -> bytes:
    """Return an array as NumPy pickles it, of these parts."""
    empty = called("numpy.core.multiarray", "_reconstruct", named("numpy", "ndarray"), made, code)
    return empty + b"(K\x01" + shape + kind + b"\x89" + data + b"tb"


def kind(name: str, state: bytes = b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t") -> bytes:
    return called("numpy", "dtype", text(name), b"\x89", b"\x88") + state + b"b"


EIGHT = b"C\x08" + bytes(8)
SIZES = struct.pack("<Q", 2**40)

BOMBS = {
    "array created large": array(number(10**9) + b"\x85", kind("f8"), EIGHT, made=number(10**9) + b"\x85"),
    "array created with another type": array(b"K\x01\x85", kind("f8"), EIGHT, code=text("O")),
    "array called": called("numpy", "ndarray", number(10**10) + b"\x85"),
    "array of terabytes": array(number(2**40) + b"\x85", kind("f8"), EIGHT),
    "array whose size overflows": array(number(2**32) + number(2**32) + b"\x86", kind("f8"), b"C\x00"),
    "empty array with a huge dimension": array(b"K\x00" + number(2**63) + b"\x86", kind("f8"), b"C\x00"),
    "array with a negative dimension": array(number(-1) + number(-1) + b"\x86", kind("f8"), EIGHT),
    "array with too many dimensions": array(b"(" + b"K\x01" * 100 + b"t", kind("f8"), EIGHT),
    "array with too few numbers": array(b"K\x02\x85", kind("f8"), EIGHT),
    "array of pointers": array(b"K\x01\x85", kind("O8"), EIGHT),
    "array of huge texts": array(b"K\x00\x85", kind("U500000000"), b"C\x00"),
    "array of structures": array(b"K\x01\x85", kind("V8"), EIGHT),
    "array of dates": array(b"K\x01\x85", kind("M8"), EIGHT),
    "type with a structure inside": array(
        b"K\x01\x85",
        kind("f8", b"(K\x03" + text("<") + b"N" + text("a") + b"\x85}" + b"J\xff\xff\xff\xff" * 2 + b"K\x00t"),
        EIGHT,
    ),
    "type of another size": array(
        b"K\x01\x85", kind("f8", b"(K\x03" + text("<") + b"NNN" + number(2**30) * 2 + b"K\x00t"), EIGHT
    ),
    "buffer with another shape": called(
        "numpy.core.numeric", "_frombuffer", EIGHT, kind("f8"), number(2**40) + b"\x85", text("C")
    ),
    "scalar of a pointer": called("numpy.core.multiarray", "scalar", kind("O8"), EIGHT),
    "scalar with too few bytes": called("numpy.core.multiarray", "scalar", kind("f8"), b"C\x01x"),
    "bytes of a terabyte": b"\x8e" + SIZES,
    "text of a terabyte": b"\x8d" + SIZES,
    "byte array of a terabyte": b"\x96" + SIZES,
    "frame of a terabyte": b"\x95" + SIZES,
    "integer of two gigabytes": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "the same bytes many times": b"("
    + text("x" * 2**16)
    + b"q\x05"
    + called("_codecs", "encode", b"h\x05", text("latin1")) * 2**15
    + b"t",
    "the same array many times": b"(B"
    + struct.pack("<I", 992)
    + bytes(992)
    + b"q\x05"
    + array(b"K\x7c\x85", kind("f8"), b"h\x05") * 2**10
    + b"t",
    "another codec": called("_codecs", "encode", text("x"), text("idna")),
    "nested tuples as a name": b"})" + b"\x85" * 2**18 + b"Ns",
    "keys with equal hashes": b"("
    + b"".join(b"\x8a\x0a" + (factor * (2**61 - 1)).to_bytes(10, "little") + b"N" for factor in range(1, 2**16))
    + b"d",
    "keys with equal hashes, in many dictionaries": (
        b"}(" + b"".join(b"M" + struct.pack("<H", n) + b"N" for n in range(500)) + b"u"
    )
    * 100
    + b"0" * 99,
    "a dictionary of arguments": called("collections", "OrderedDict", b"]"),
}

HARMLESS = {
    "lists in lists": b"]" * 2**17 + b"a" * (2**17 - 1),
    "doubled forty times": b"]" + b"".join(b"q%ch%c\x86" % (index, index) for index in range(1, 41)),
    "a large index in the memo": b"Nr\xff\xff\xff\x7f",
}
"""Files that only look large: equal parts are one object, and the memo is not a list."""


def test_no_file_of_paddle_takes_the_memory(tmp_path, tally):
    paths = []
    for name, bomb in {**BOMBS, **HARMLESS}.items():
        paths.append(tmp_path / f"{name}.pdparams")
        paths[-1].write_bytes(planted({"a": PLACEHOLDER}, bomb))
    for path, line in zip(paths, outcomes(paths), strict=True):
        wanted = " was read" if path.stem in HARMLESS else ": (refused|not a readable Paddle weight file)"
        assert re.match(re.escape(str(path)) + wanted, line), line
        assert "MemoryError" not in line  # nothing of this size was allocated
    tally("files that ask for too much memory", len(paths), len(paths), "nothing")


def test_a_file_larger_than_the_memory_is_named(tmp_path):
    path = tmp_path / "huge.pdparams"
    path.touch()
    os.truncate(path, 4 * MEMORY_LIMIT)  # a sparse file
    assert outcomes([path]) == [f"{path}: cannot be read: there is not enough memory for a file of its size"]


# Files of PyTorch


def storage(count: int) -> bytes:
    """Return the reference to `count` numbers of float32 that are not in the file."""
    return b"((X\x07\0\0\0storage" + named("torch", "FloatStorage") + text(7) + text("cpu") + number(count) + b"NtQ"


TORCH_BOMBS = {
    "missing numbers": storage(2**40) + b"t",
    "a tensor without numbers": called(
        "torch._utils",
        "_rebuild_tensor_v2",
        storage(2) + b"t",
        number(0),
        number(2**40) + b"\x85",
        number(0) + b"\x85",
        b"\x89",
        b"}",
    ),
}


TORCH_HARMLESS = {
    "a tensor created large": called("torch", "FloatTensor", number(2**40)),
    "a storage created large": called("torch.storage", "UntypedStorage", number(2**40)),
    "a byte array created large": called("builtins", "bytearray", number(2**40)),
    "nested tuples as a name": b"})" + b"\x85" * 2**18 + b"Ns",
}
"""None of these is called or hashed."""


def test_no_file_of_pytorch_takes_the_memory(tmp_path, tally):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    paths = []
    for name, bomb in {**TORCH_BOMBS, **TORCH_HARMLESS}.items():
        for kind, write in WRITERS.items():
            paths.append(tmp_path / f"{name}, {kind}.pth")
            write(torch, {"state_dict": {"w": torch.ones(2)}, "x": PLACEHOLDER}, bomb, paths[-1])
    for dtype in (torch.float32, torch.bfloat16):
        paths.append(tmp_path / f"one number repeated, {dtype}.pth")
        torch.save({"w": torch.ones(1, dtype=dtype).expand(2**30)}, paths[-1])
    torch.save({"w": torch.zeros(2**22)}, tmp_path / "zeros.pth")
    paths.append(tmp_path / "compressed zeros.pth")
    with (
        zipfile.ZipFile(tmp_path / "zeros.pth") as source,
        zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    for path, line in zip(paths, outcomes(paths), strict=True):
        harmless = path.stem.rpartition(",")[0] in TORCH_HARMLESS
        assert line.startswith(f"{path} was read" if harmless else f"{path}: not a readable PyTorch weight file"), line
    tally("files that ask for too much memory", len(paths), len(paths), "nothing")
