"""Unpickle arrays and plain values without running any function that the pickle names.

A pickle is a program: it names functions and calls them. Here, the few names that arrays need refer to methods of the
unpickler, which check their arguments. Every other name is refused, and so is every opcode that weight files do not
use. Nothing is imported. Every size is compared with the bytes in the file before memory is allocated.

`pickle.Unpickler`, which is written in C, allows no such control: it passes values to NumPy unchecked and allocates any
size that a file asks for. So this one extends the Python implementation. It is fast enough, because a single opcode
holds all numbers of an array.
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
"""Dtypes of arrays in a weight file. bfloat16 is stored as u2 with the same bits, as Paddle does."""

SCALARS = (str, bytes, bool, int, float, type(None))
"""Types of single values and of dictionary keys."""

MAX_NUMERIC_KEYS = 4_000
"""Largest number of keys in one file that are neither str nor bytes.

The hashes of numbers are predictable in Python. A file could choose keys that collide, which takes quadratic time.
"""

_OPCODES = (
    "PROTO FRAME STOP MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET NONE NEWTRUE NEWFALSE "
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS GLOBAL STACK_GLOBAL INST REDUCE BUILD"
)
"""Opcodes in pickles of arrays and plain values, and INST, which `find_class` refuses by its name."""

_ALLOWED_GLOBALS = {
    ("collections", "OrderedDict"): "ordered_dict",
    ("_codecs", "encode"): "latin1",
    ("builtins", "tuple"): "make_tuple",  # `paddle.save` writes tensors in nested dictionaries as tuples
    ("__builtin__", "tuple"): "make_tuple",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    # `core` in NumPy 1, `_core` since NumPy 2.
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "empty_array" for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "array_from_buffer" for core in ("core", "_core")},
}


def read(data: bytes) -> tuple[Any, int]:
    """Read the pickle at the beginning of `data`.

    Returns:
        Its content (dictionaries, lists and tuples of `SCALARS`, NumPy scalars and arrays of `NUMBERS`) and its number
        of bytes.

    Raises:
        InputError: the pickle asks to run a function, or holds arrays of other values than numbers.
        Exception: almost any other, if the pickle is damaged or has opcodes that weight files do not use.
    """
    file = io.BytesIO(data)
    content = RestrictedUnpickler(file, len(data)).load()
    _check_plain(content)
    return content, file.tell()


def _check_plain(content: Any) -> None:
    """Raise ValueError if an internal object of the unpickler is among the values. Values may occur in many places."""
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
            raise ValueError("it holds other objects than arrays and plain values")


class _DType:
    """A placeholder for `numpy.dtype`: the name and state in the file, resolved when an array uses it."""

    def __init__(self, name: Any, align: Any = False, copy: Any = True) -> None:
        self.name = name if isinstance(name, str) else type(name).__name__
        self.state: Any = (3, "=", None, None, None, -1, -1, 0)

    def resolve(self) -> np.dtype:
        if self.name not in NUMBERS:
            raise InputError(f"it holds an array of dtype {self.name[:40]}, expected numbers")
        _version, order, *rest = self.state
        if order not in ("=", "<", ">", "|") or rest != [None, None, None, -1, -1, 0]:
            raise ValueError(f"the dtype {self.name} has custom attributes")
        return NUMBERS[self.name].newbyteorder(order)


def _refuse_opcode(name: str) -> Callable[[Any], None]:
    def refuse(reader: Any) -> None:
        # Not an InputError: any damaged file may contain one by chance.
        raise ValueError(f"it has the pickle opcode {name}, which no weight file needs; it was not run")

    return refuse


def _opcode_values(names: str) -> list[int]:
    return [getattr(pickle, name)[0] for name in names.split()]


class RestrictedUnpickler(pickle._Unpickler):
    """An unpickler that runs only its own methods.

    Args:
        file: the pickle.
        size: number of bytes in the file.
    """

    # Attributes of the base class that typeshed leaves out.
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: io.BytesIO, size: int) -> None:
        super().__init__(file)
        # A pickle may reuse values. Each byte may be copied twice: from str to bytes, and into an array.
        self.bytes_left = 2 * size
        self.numeric_keys_left = MAX_NUMERIC_KEYS

    def find_class(self, module: str, name: str) -> Any:
        """Return the method that replaces a function. Raises InputError for any other name."""
        if module.partition(".")[0] == "torch":
            raise InputError(
                f"it asks to run {module[:60]}.{name[:60]}, as the pickle inside a PyTorch file does; it was not run. "
                "convert_torch_weights.py reads the whole PyTorch file"
            )
        if (module, name) not in _ALLOWED_GLOBALS:
            raise InputError(f"it asks to run {module[:60]}.{name[:60]}, which no weight file needs; it was not run")
        return getattr(self, _ALLOWED_GLOBALS[module, name])

    # Methods that replace the functions a pickle may name

    dtype = _DType

    def ndarray(self, *_: object) -> NoReturn:
        """Refuse a direct call of `numpy.ndarray`."""
        raise ValueError("an array is not built the way NumPy does it")

    def ordered_dict(self) -> dict[Any, Any]:
        """Return an empty dictionary instead of an OrderedDict."""
        return {}

    def make_tuple(self, items: Any) -> tuple[Any, ...]:
        """Build a tuple from a list or tuple."""
        if type(items) not in (tuple, list):
            raise ValueError("a tuple is built from something other than a tuple or list")
        return tuple(items)

    def latin1(self, text: str, codec: str) -> bytes:
        """Return the bytes that protocol 2 stores as str."""
        if codec != "latin1":
            raise ValueError("bytes in another encoding than latin1")
        self._charge(len(text))
        return text.encode("latin1")

    def empty_array(self, kind: Any, shape: Any, code: Any) -> np.ndarray:
        """Return the empty array that BUILD fills."""
        if kind != self.ndarray or shape != (0,) or code not in (b"b", "b"):
            self.ndarray()
        return np.empty(0, np.int8)

    def array_from_buffer(self, data: Any, kind: _DType, shape: Any, order: Any) -> np.ndarray:
        """Build an array from its bytes."""
        self._check_size(shape, kind.resolve(), data)
        return np.frombuffer(data, kind.resolve()).reshape(shape, order=order)

    def scalar(self, kind: _DType, data: Any) -> np.generic:
        """Build a NumPy scalar from its bytes."""
        self._check_size((), kind.resolve(), data)
        return np.frombuffer(data, kind.resolve())[0]

    def _check_size(self, shape: Any, dtype: np.dtype, data: Any) -> None:
        if type(shape) is not tuple or len(shape) > 32:  # the limit of NumPy 1
            raise ValueError("an array has an invalid shape")
        if not all(type(length) is int and 0 <= length < 2**63 for length in shape):
            raise ValueError("an array has dimensions of impossible lengths")
        if not isinstance(data, (bytes, bytearray)) or len(data) != math.prod(shape) * dtype.itemsize:
            raise ValueError("an array has another number of bytes than its shape and dtype require")
        self._charge(len(data))

    def _charge(self, count: int) -> None:
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise ValueError("it expands to more bytes than the file holds")

    # Opcodes that work differently from those of `pickle`

    def build(self) -> None:
        """Execute BUILD, for dtypes and arrays only."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _DType):
            target.state = state
        elif type(target) is np.ndarray:
            version, shape, kind, fortran, data = state
            self._check_size(shape, kind.resolve(), data)
            # NumPy keeps a reference to the bytes instead of copying them.
            target.__setstate__((version, shape, kind.resolve(), fortran, bytes(data)))
        else:
            raise InputError(f"it asks to set up a {type(target).__name__}, which no weight file needs; it was not run")

    def byte_array(self) -> None:
        """Execute BYTEARRAY8."""
        # `pickle` would allocate the size in the file before reading that many bytes.
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def set_item(self) -> None:
        """Execute SETITEM."""
        value, key = self.stack.pop(), self.stack.pop()
        self._store([key, value])

    def set_items(self) -> None:
        """Execute SETITEMS."""
        self._store(self.pop_mark())

    def _store(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise ValueError("it sets items of an object that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in SCALARS:  # hashing a deep tuple overflows the stack
                raise ValueError(f"a dictionary key is a {type(key).__name__}")
            if type(key) not in (str, bytes):
                self.numeric_keys_left -= 1
                if self.numeric_keys_left < 0:
                    raise ValueError(f"it has more than {MAX_NUMERIC_KEYS:,} keys that are neither str nor bytes")
            target[key] = value

    dispatch: ClassVar[Any] = {
        **{code: _refuse_opcode(f"{code:#04x}") for code in range(256)},
        **{ord(opcode.code): _refuse_opcode(opcode.name) for opcode in pickletools.opcodes},
        **{code: pickle._Unpickler.dispatch[code] for code in _opcode_values(_OPCODES)},
        pickle.BUILD[0]: build,
        pickle.BYTEARRAY8[0]: byte_array,
        pickle.SETITEM[0]: set_item,
        pickle.SETITEMS[0]: set_items,
    }
