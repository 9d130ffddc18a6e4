"""Pickles of arrays and plain values, read without running anything that they ask for.

A pickle is a program: it names functions and has them called. Here the few names that arrays need stand for
methods of the reader, which check their arguments; every other name, and every instruction that such files
do without, is refused. Nothing is imported, and no size is believed before it is compared with the bytes that
are there. The reader in C behind `pickle.Unpickler` allows no such control: it hands what a file says to NumPy
unseen, and allocates what a file tells it to. So this is built upon the one in Python, which is fast enough:
the numbers of an array are a single instruction.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import numpy as np

from chexnet.errors import InputError

_NAMES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
NUMBERS = {name: np.dtype(name) for name in _NAMES}
"""The types of arrays in a weight file; bfloat16 is stored as the u2 of its bits, as Paddle does."""

SCALARS = (str, bytes, bool, int, float, type(None))
"""The types of single values and of the keys of dictionaries."""

MAX_ODD_KEYS = 4_000
"""Keys in one file that are neither text nor bytes. Python hashes numbers as anybody can foresee: many that meet in one
place of a dictionary take time as their square."""

_INSTRUCTIONS = (
    "PROTO FRAME STOP MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET NONE NEWTRUE NEWFALSE "
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS GLOBAL STACK_GLOBAL INST REDUCE BUILD"
)
"""What pickles of arrays and plain values consist of, and INST, which is refused by the name it asks for."""

_ALLOWED_GLOBALS = {
    ("collections", "OrderedDict"): "ordered_dict",
    ("_codecs", "encode"): "latin1",
    ("builtins", "tuple"): "tuple_of",  # around the tensors in a dictionary that `paddle.save` is given in another
    ("__builtin__", "tuple"): "tuple_of",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    # `core` until NumPy 1, `_core` from NumPy 2 on.
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "empty_array" for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "array_of_buffer" for core in ("core", "_core")},
}


def read(data: bytes) -> tuple[Any, int]:
    """Reads the pickle at the beginning of `data`.

    Returns:
        What it holds (dictionaries, lists and tuples of `SCALARS`, NumPy scalars and arrays of
        `NUMBERS`) and the number of its bytes.

    Raises:
        InputError: it asks to run something, by name, or holds arrays of other than numbers.
        Exception: almost any other, if it is damaged or uses instructions that such files do not.
    """
    file = io.BytesIO(data)
    content = _Reader(file, len(data)).load()
    _check_plain(content)
    return content, file.tell()


def _check_plain(content: Any) -> None:
    """Raises ValueError if one of the reader's own objects is among the values; parts may occur in many places."""
    parts, seen = [content], set()
    while parts:
        part = parts.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if type(part) is dict:
            parts.extend(part.values())
        elif type(part) in (list, tuple):
            parts.extend(part)
        elif not isinstance(part, (*SCALARS, np.ndarray, np.generic)):
            raise ValueError("it holds something else than arrays and plain values")


class _Type:
    """Stands for `numpy.dtype`: what a file says of one, until an array asks for it."""

    def __init__(self, name: Any, align: Any = False, copy: Any = True) -> None:
        self.name = name if isinstance(name, str) else type(name).__name__
        self.state: Any = (3, "=", None, None, None, -1, -1, 0)

    def numbers(self) -> np.dtype:
        if self.name not in NUMBERS:
            raise InputError(f"it holds an array of type {self.name[:40]}, expected numbers")
        _version, order, *rest = self.state
        if order not in ("=", "<", ">", "|") or rest != [None, None, None, -1, -1, 0]:
            raise ValueError(f"the type {self.name} has attributes of its own")
        return NUMBERS[self.name].newbyteorder(order)


def _refusal(instruction: str) -> Callable[[Any], None]:
    def refuse(reader: Any) -> None:
        # Not an InputError: any damaged file may come to hold one.
        raise ValueError(f"it has the pickle instruction {instruction}, which no weight file needs; it was not run")

    return refuse


def _codes(instructions: str) -> list[int]:
    return [getattr(pickle, name)[0] for name in instructions.split()]


class _Reader(pickle._Unpickler):
    # The attributes of the base class, which its published types leave out.
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: io.BytesIO, size: int) -> None:
        super().__init__(file)
        # A file may use its bytes over again: each is copied at most twice, as text to bytes and to an array.
        self.bytes_left = 2 * size
        self.odd_keys_left = MAX_ODD_KEYS

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "torch":
            raise InputError(
                f"it asks to run {module[:60]}.{name[:60]}, as a part of a PyTorch file does; it was not run. "
                "convert_torch_weights.py reads whole PyTorch files"
            )
        if (module, name) not in _ALLOWED_GLOBALS:
            raise InputError(f"it asks to run {module[:60]}.{name[:60]}, which no weight file needs; it was not run")
        return getattr(self, _ALLOWED_GLOBALS[module, name])

    # What stands for the names that a file may use

    dtype = _Type

    def ndarray(self, *_: object) -> NoReturn:
        raise ValueError("an array is not made the way NumPy does it")

    def ordered_dict(self) -> dict[Any, Any]:
        return {}

    def tuple_of(self, items: Any) -> tuple[Any, ...]:
        if type(items) not in (tuple, list):
            raise ValueError("a tuple is not made of a tuple")
        return tuple(items)

    def latin1(self, text: str, codec: str) -> bytes:
        """The bytes that protocol 2 writes as text."""
        if codec != "latin1":
            raise ValueError("bytes in another encoding than latin1")
        self._spend(len(text))
        return text.encode("latin1")

    def empty_array(self, kind: Any, shape: Any, code: Any) -> np.ndarray:
        if kind != self.ndarray or shape != (0,) or code not in (b"b", "b"):
            self.ndarray()
        return np.empty(0, np.int8)

    def array_of_buffer(self, data: Any, kind: _Type, shape: Any, order: Any) -> np.ndarray:
        self._check_size(shape, kind.numbers(), data)
        return np.frombuffer(data, kind.numbers()).reshape(shape, order=order)

    def scalar(self, kind: _Type, data: Any) -> np.generic:
        self._check_size((), kind.numbers(), data)
        return np.frombuffer(data, kind.numbers())[0]

    def _check_size(self, shape: Any, dtype: np.dtype, data: Any) -> None:
        if type(shape) is not tuple or len(shape) > 32:  # as NumPy 1 allows
            raise ValueError("an array has a shape that is none")
        if not all(type(side) is int and 0 <= side < 2**63 for side in shape):
            raise ValueError("an array has sides of impossible lengths")
        if not isinstance(data, (bytes, bytearray)) or len(data) != math.prod(shape) * dtype.itemsize:
            raise ValueError("an array has another number of bytes than its shape and type ask for")
        self._spend(len(data))

    def _spend(self, count: int) -> None:
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise ValueError("it makes more of its bytes than there are")

    # Instructions that are carried out otherwise than `pickle` does

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Type):
            target.state = state
        elif type(target) is np.ndarray:
            version, shape, kind, fortran, data = state
            self._check_size(shape, kind.numbers(), data)
            target.__setstate__((version, shape, kind.numbers(), fortran, bytes(data)))  # takes the bytes over
        else:
            raise InputError(f"it asks to set up a {type(target).__name__}, which no weight file needs; it was not run")

    def byte_array(self) -> None:
        # `pickle` allocates as many bytes as the file says before it reads them.
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._store([key, value])

    def set_items(self) -> None:
        self._store(self.pop_mark())

    def _store(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise ValueError("it puts items into something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in SCALARS:  # to hash a deep tuple overflows the stack
                raise ValueError(f"a key of a dictionary is a {type(key).__name__}")
            if type(key) not in (str, bytes):
                self.odd_keys_left -= 1
                if self.odd_keys_left < 0:
                    raise ValueError(f"it has more than {MAX_ODD_KEYS:,} keys that are neither text nor bytes")
            target[key] = value

    dispatch: ClassVar[Any] = {
        **{code: _refusal(f"{code:#04x}") for code in range(256)},
        **{ord(known.code): _refusal(known.name) for known in pickletools.opcodes},
        **{code: pickle._Unpickler.dispatch[code] for code in _codes(_INSTRUCTIONS)},
        pickle.BUILD[0]: build,
        pickle.BYTEARRAY8[0]: byte_array,
        pickle.SETITEM[0]: set_item,
        pickle.SETITEMS[0]: set_items,
    }
