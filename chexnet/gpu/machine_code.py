"""Read from a compiled library for which GPUs it contains machine code.

The compiler of CUDA stores the code in the section `.nv_fatbin` of an ELF file, as containers of one entry per
architecture. Only the headers are read. The layout was checked on the libraries of Paddle 2.6.2 (CUDA 11.8) and of ONNX
Runtime 1.31 (CUDA 13.0).
"""

import mmap
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from chexnet.gpu.cards import Capability

_SECTION = b".nv_fatbin"
_CONTAINER = struct.Struct("<IHHQ")  # magic number, version, size of the header, size of the entries
_MAGIC = 0xBA55ED50
_ENTRY = struct.Struct("<HHIQ12xI")  # kind, version, size of the header, size of the code, architecture
_MACHINE_CODE = 2  # the other kind is PTX, which the driver would have to compile; the wheels contain almost none
_RARE = 0.1
"""Share of the most frequent architecture below which another one does not count: single kernels have code for more."""


def architectures(library: Path) -> tuple[int, ...]:
    """Return the architectures that a library has machine code for, such as 86 for compute capability 8.6.

    The result is empty if the library contains no code for GPUs, or is not a 64-bit ELF file.

    Raises:
        OSError: the file cannot be read.
    """
    with open(library, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            counts = Counter(_entries(data))
        except (struct.error, IndexError, ValueError):
            return ()
    least = _RARE * max(counts.values(), default=0)
    return tuple(sorted(architecture for architecture, count in counts.items() if count >= least))


def has_code_for(capability: Capability, architectures: Collection[int]) -> bool:
    """Return whether a card runs the machine code of one of the architectures.

    Code runs on cards with the same major number and the same or a higher minor one (NVIDIA, CUDA C++ Programming
    Guide, section Binary Compatibility).
    """
    major, minor = capability
    return any(code // 10 == major and code % 10 <= minor for code in architectures)


def _entries(data: mmap.mmap) -> Iterator[int]:
    """Yield the architecture of each entry with machine code."""
    position, end = _section(data)
    while position < end:
        magic, _, header, size = _CONTAINER.unpack_from(data, position)
        if magic != _MAGIC:
            position += 8  # padding
            continue
        entry, position = position + header, position + header + size
        while entry < position:
            kind, _, header, size, architecture = _ENTRY.unpack_from(data, entry)
            if kind == _MACHINE_CODE:
                yield architecture
            entry += header + size
        position += -position % 8


def _section(data: mmap.mmap) -> tuple[int, int]:
    """Return start and end of the section with GPU code, both 0 if there is none."""
    if data[:5] != b"\x7fELF\x02":
        return 0, 0
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names_index = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<I20xQQ", data, table + index * size) for index in range(count)]
    names = headers[names_index][1]
    for name, offset, length in headers:
        if data[names + name : names + name + len(_SECTION) + 1] == _SECTION + b"\0":
            return offset, offset + length
    return 0, 0
