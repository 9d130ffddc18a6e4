"""Pickles of PyTorch, read without running anything that they ask for.

PyTorch's pickles name functions that rebuild tensors from storages, which are kept outside of the pickle. A few of them
stand for methods of the reader. Every other class or function that is asked for becomes an `Unread`, which remembers
its name and what the file says of it: that is enough to find weights beside an `argparse.Namespace`, or inside
of a whole pickled module, without having its class.

Sources: `torch/serialization.py`, `torch/_utils.py` and `torch/nn/modules/module.py` of PyTorch.
"""

import io
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from chexnet.errors import InputError
from chexnet.model.checkpoint.unpickling import SCALARS, _Reader

MAX_EXPANSION = 10
"""How many bytes in memory a byte of a file may stand for. PyTorch packs nothing, but others may have."""

Order = Literal["<", ">"]
"""Of the bytes of a number, as NumPy has it."""

_TYPES = {
    "FloatStorage": ("float32", "f4"),
    "DoubleStorage": ("float64", "f8"),
    "HalfStorage": ("float16", "f2"),
    "BFloat16Storage": ("bfloat16", "u2"),
    "LongStorage": ("int64", "i8"),
    "IntStorage": ("int32", "i4"),
    "ShortStorage": ("int16", "i2"),
    "CharStorage": ("int8", "i1"),
    "ByteStorage": ("uint8", "u1"),
    "BoolStorage": ("bool", "?"),
}
"""Class of a storage -> the type of its numbers as PyTorch spells it, and as NumPy has it."""

_STANDS_FOR = {
    ("collections", "OrderedDict"): "dictionary",
    ("collections", "defaultdict"): "default_dictionary",
    ("torch._utils", "_rebuild_tensor"): "tensor",
    ("torch._utils", "_rebuild_tensor_v2"): "tensor",
    ("torch._utils", "_rebuild_parameter"): "parameter",
    ("torch._utils", "_rebuild_parameter_with_state"): "parameter",
    ("torch._tensor", "_rebuild_from_type_v2"): "of_a_subclass",
    ("torch.nn.parameter", "Parameter"): "parameter",  # until PyTorch 0.3
    ("torch.autograd.variable", "Variable"): "parameter",
}

_ATTACKS = {
    *(
        "asyncio",
        "code",
        "codeop",
        "commands",
        "ctypes",
        "importlib",
        "marshal",
        "multiprocessing",
        "nt",
        "os",
        "pickle",
    ),
    *("pip", "posix", "pty", "pydoc", "runpy", "shutil", "socket", "subprocess", "sys", "timeit", "torch.hub"),
    *("webbrowser", "torch.load", "numpy.load", "joblib.load", "dill.loads", "cloudpickle.loads"),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("apply", "compile", "eval", "exec")),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("__import__", "execfile", "open")),
}
"""Modules and functions that keep no data: a file that asks for one is refused outright, though nothing is run."""

_UNNAMED = {"torch", "numpy", "collections", "builtins", "__builtin__", "copyreg", "copy_reg", "_codecs"}
"""Packages whose classes are no news to the user."""


@dataclass(frozen=True)
class Storage:
    """Numbers outside of the pickle: `count` of them from `first` on in the storage `key`."""

    key: str
    precision: str
    dtype: np.dtype[Any]
    count: int
    first: int
    read: Callable[[str], bytes]


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file; its numbers are read when `array` is called.

    Attributes:
        storage: where its numbers are.
        offset: of its first number in the storage.
        shape: its sides.
        strides: numbers from one element to the next, for each side.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def precision(self) -> str:
        """Its type as PyTorch spells it."""
        return self.storage.precision

    def array(self) -> np.ndarray:
        """Its numbers; bfloat16 is widened to float32, other types are as stored."""
        numbers = np.frombuffer(self.storage.read(self.storage.key), self.storage.dtype)
        first = self.storage.first + self.offset
        strides = [stride * numbers.itemsize for stride in self.strides]
        array = np.lib.stride_tricks.as_strided(numbers[first:], self.shape, strides, writeable=False)
        if self.precision == "bfloat16":
            return (array.astype("u4") << 16).view("f4")
        return array.astype(array.dtype.newbyteorder("="), order="C")


@dataclass(eq=False)
class Unread:
    """An object whose class was not run: what the file says of it.

    Attributes:
        name: its class, or the function that would have made it.
        state: its attributes, mostly a dictionary.
        items: its items, if its class is a kind of dictionary.
    """

    name: str
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)

    def append(self, item: Any) -> None:
        """Takes an item of a kind of list; nobody asks for it."""

    def extend(self, items: Any) -> None:
        """Takes several items of a kind of list; nobody asks for them."""


@dataclass(frozen=True)
class _Unknown:
    """A class or function that was not imported; called, it gives an `Unread`."""

    name: str

    def __call__(self, *arguments: Any) -> Unread:
        of = arguments[0] if self.name.endswith("._reconstructor") and arguments else self
        return Unread(of.name if isinstance(of, _Unknown) else self.name)


class TorchReader(_Reader):
    """Reads one pickle of a PyTorch file.

    Attributes:
        storages: number of bytes that each storage must have, by its key.
        unknown: classes and functions of neither PyTorch nor NumPy that it asks for.
    """

    append: Callable[[Any], None]

    def __init__(self, file: io.BytesIO, size: int, read: Callable[[str], bytes], order: Order = "<") -> None:
        super().__init__(file, size)
        self.encoding = "latin1"  # of the texts that Python 2 wrote
        self.size, self.read_storage, self.order = size, read, order
        self.storages: dict[str, int] = {}
        self.unknown: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a class or function. Raises InputError for what could only be an attack."""
        if method := _STANDS_FOR.get((module, name)):
            return getattr(self, method)
        full, top = f"{module[:100]}.{name[:100]}", module.partition(".")[0]
        if {top, module, full, *name.split(".")[:-1]} & _ATTACKS or "__" in name.partition(".")[2]:
            raise InputError(
                f"refused: it asks to run {full}, so it is more than weights; it was not run. "
                "--allow_pickle runs it: only for a file whose origin you trust"
            )
        if top not in _UNNAMED:
            self.unknown[full] = None
        return _Unknown(full)

    def persistent_load(self, identity: Any) -> Any:
        """A storage, or the class of a module, which old files keep with its source code."""
        if type(identity) is not tuple or len(identity) < 2:
            raise ValueError("it has a persistent object that is no storage; it was not run")
        what = identity[0].decode("latin1") if isinstance(identity[0], bytes) else identity[0]
        if what == "module" and isinstance(identity[1], _Unknown):
            return identity[1]
        if what != "storage":
            raise ValueError("it has a persistent object that is no storage; it was not run")
        _, kind, key, _location, count, *view = identity
        precision, code = _TYPES.get(getattr(kind, "name", "").rpartition(".")[2], ("", ""))
        if not code:
            return Unread("a storage of another type")
        dtype = np.dtype(code).newbyteorder(self.order)
        _check(count, key)
        self.storages[str(key)] = count * dtype.itemsize
        first = 0
        if view and view[0] is not None:
            _, first, part = view[0]
            _check(first, part)
            if first + part > count:
                raise ValueError("a storage is larger than the one that it is part of")
            count = part
        return Storage(str(key), precision, dtype, count, first, self.read_storage)

    # What stands for the names that a file may use

    def dictionary(self, items: Any = ()) -> dict[Any, Any]:
        """An OrderedDict: empty, or with the items, as Python 2 wrote it."""
        return {key: value for key, value in items if type(key) in SCALARS}

    def default_dictionary(self, *_: Any) -> dict[Any, Any]:
        """A defaultdict, empty at first."""
        return {}

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor | Unread:
        """A tensor, if it lies within its storage and is not far larger than the file."""
        if isinstance(storage, Unread):
            return storage
        shape, strides = tuple(shape), tuple(strides)
        _check(offset, *shape, *strides)
        if len(shape) != len(strides) or len(shape) > 32:
            raise ValueError("a tensor has a shape that is none")
        last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
        if 0 not in shape and last >= storage.count:
            raise ValueError("a tensor is larger than its storage")
        if math.prod(shape) * storage.dtype.itemsize > MAX_EXPANSION * self.size:
            raise ValueError("too much for a file of this size")
        return Tensor(storage, offset, shape, strides)

    def parameter(self, data: Any, *_: Any) -> Any:
        """The tensor of a parameter."""
        return data

    def of_a_subclass(self, function: Any, _kind: Any, arguments: Any, _state: Any) -> Any:
        """What a function makes, if it is one of the above."""
        return function(*arguments)

    # Instructions that are carried out otherwise than `pickle` does

    def new_object(self) -> None:
        """Carries out NEWOBJ."""
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.append(kind(*arguments))

    def new_object_with_names(self) -> None:
        """Carries out NEWOBJ_EX."""
        self.stack.pop()
        self.new_object()

    def build(self) -> None:
        """Carries out BUILD."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Unread):
            target.state = state
        elif not isinstance(target, (dict, Tensor)):  # whose attributes are no weights
            raise ValueError(f"it sets up a {type(target).__name__}")

    def _store(self, items: list[Any]) -> None:
        target = self.stack[-1]
        taken = target.items if isinstance(target, Unread) else target
        if type(taken) is not dict:
            raise ValueError("it puts items into something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) in SCALARS:  # others, of optimizers, are no names of weights
                taken[key] = value

    dispatch: ClassVar[Any] = {
        **_Reader.dispatch,
        **{
            getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
            for name in ("BINPERSID", "BINSTRING", "SHORT_BINSTRING", "POP", "POP_MARK", "DUP")
        },
        pickle.NEWOBJ[0]: new_object,
        pickle.NEWOBJ_EX[0]: new_object_with_names,
        pickle.BUILD[0]: build,
    }


def _check(*numbers: Any) -> None:
    for number in numbers:
        if isinstance(number, str):  # the key of a storage
            continue
        if type(number) is not int or not 0 <= number < 2**63:
            raise ValueError("a tensor has a size that is none")
