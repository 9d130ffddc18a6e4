"""Unpickle PyTorch's pickles without running any function that they name.

PyTorch's pickles name functions that rebuild tensors from storages, which are kept outside of the pickle. A few of
these functions are replaced by methods of the unpickler. Any other class or function becomes an `UnreadObject`, which
keeps its name and the data that the file holds for it. This is enough to find weights next to an `argparse.Namespace`,
or inside of a whole pickled module, without importing its class.

Sources: `torch/serialization.py`, `torch/_utils.py` and `torch/nn/modules/module.py` of PyTorch.
"""

import io
import math
import pickle
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np

from chexnet.errors import InputError
from chexnet.model.checkpoint.unpickling import SCALARS, RestrictedUnpickler
from chexnet.model.convert.torch_objects import STORAGE_DTYPES, LazyTensor, Storage, UnknownGlobal, UnreadObject

MAX_EXPANSION = 10
"""Largest number of bytes in memory per byte of the file. PyTorch itself does not compress; other programs may."""

ByteOrder = Literal["<", ">"]
"""Byte order of numbers, in the notation of NumPy."""

_ALLOWED_GLOBALS = {
    ("collections", "OrderedDict"): "ordered_dict",
    ("collections", "defaultdict"): "default_dict",
    ("torch._utils", "_rebuild_tensor"): "rebuild_tensor",
    ("torch._utils", "_rebuild_tensor_v2"): "rebuild_tensor",
    ("torch._utils", "_rebuild_parameter"): "rebuild_parameter",
    ("torch._utils", "_rebuild_parameter_with_state"): "rebuild_parameter",
    ("torch._tensor", "_rebuild_from_type_v2"): "rebuild_subclass",
    ("torch.nn.parameter", "Parameter"): "rebuild_parameter",  # until PyTorch 0.3
    ("torch.autograd.variable", "Variable"): "rebuild_parameter",
}

_ATTACKS = {
    *("asyncio", "code", "codeop", "commands", "ctypes", "importlib", "marshal", "multiprocessing", "nt", "os"),
    *("pickle", "pip", "posix", "pty", "pydoc", "runpy", "shutil", "socket", "subprocess", "sys", "timeit"),
    *("torch.hub", "webbrowser", "torch.load", "numpy.load", "joblib.load", "dill.loads", "cloudpickle.loads"),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("apply", "compile", "eval", "exec")),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("__import__", "execfile", "open")),
}
"""Modules and functions that hold no data. A file that names one is refused, although nothing is run."""

_COMMON_PACKAGES = {"torch", "numpy", "collections", "builtins", "__builtin__", "copyreg", "copy_reg", "_codecs"}
"""Packages whose classes are not reported to the user."""


class TorchUnpickler(RestrictedUnpickler):
    """An unpickler for one pickle of a PyTorch file.

    Args:
        file: the pickle.
        size: number of bytes in the whole file.
        read: function that returns the bytes of a storage, given its key.
        order: byte order of the storages.

    Attributes:
        storages: key of each storage -> number of bytes that it must have.
        unknown: classes and functions that the pickle names, other than those of common packages; an ordered set.
    """

    append: Callable[[Any], None]

    def __init__(self, file: io.BytesIO, size: int, read: Callable[[str], bytes], order: ByteOrder = "<") -> None:
        super().__init__(file, size)
        self.encoding = "latin1"  # of str objects that Python 2 wrote
        self.size, self.read_storage, self.order = size, read, order
        self.storages: dict[str, int] = {}
        self.unknown: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a class or function. Raises InputError for one that can only be an attack."""
        if method := _ALLOWED_GLOBALS.get((module, name)):
            return getattr(self, method)
        full, top = f"{module[:100]}.{name[:100]}", module.partition(".")[0]
        if {top, module, full, *name.split(".")[:-1]} & _ATTACKS or "__" in name.partition(".")[2]:
            raise InputError(
                f"refused: it asks to run {full}, so it is more than weights; it was not run. "
                "--allow_pickle runs it: only for a file whose origin you trust"
            )
        if top not in _COMMON_PACKAGES:
            self.unknown[full] = None
        return UnknownGlobal(full)

    def persistent_load(self, identity: Any) -> Any:
        """Return a storage, or the class of a module, which old files keep with its source code."""
        if type(identity) is not tuple or len(identity) < 2:
            raise ValueError("it has a persistent object that is not a storage; it was not run")
        kind = identity[0].decode("latin1") if isinstance(identity[0], bytes) else identity[0]
        if kind == "module" and isinstance(identity[1], UnknownGlobal):
            return identity[1]
        if kind != "storage":
            raise ValueError("it has a persistent object that is not a storage; it was not run")
        _, storage_class, key, _location, count, *view = identity
        precision, code = STORAGE_DTYPES.get(getattr(storage_class, "name", "").rpartition(".")[2], ("", ""))
        if not code:
            return UnreadObject("a storage of an unsupported dtype")
        dtype = np.dtype(code).newbyteorder(self.order)
        _check_sizes(count, key)
        self.storages[str(key)] = count * dtype.itemsize
        first = 0
        if view and view[0] is not None:
            _, first, view_count = view[0]
            _check_sizes(first, view_count)
            if first + view_count > count:
                raise ValueError("a view is larger than its storage")
            count = view_count
        return Storage(str(key), precision, dtype, count, first, self.read_storage)

    # Methods that replace the functions a pickle may name

    def ordered_dict(self, items: Any = ()) -> dict[Any, Any]:
        """Replace OrderedDict: empty, or with the items, as Python 2 wrote it."""
        return {key: value for key, value in items if type(key) in SCALARS}

    def default_dict(self, *_: Any) -> dict[Any, Any]:
        """Replace defaultdict: empty."""
        return {}

    def rebuild_tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> LazyTensor | UnreadObject:
        """Rebuild a tensor, if it lies within its storage and is not much larger than the file."""
        if isinstance(storage, UnreadObject):
            return storage
        shape, strides = tuple(shape), tuple(strides)
        _check_sizes(offset, *shape, *strides)
        if len(shape) != len(strides) or len(shape) > 32:
            raise ValueError("a tensor has an invalid shape")
        last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
        if 0 not in shape and last >= storage.count:
            raise ValueError("a tensor is larger than its storage")
        if math.prod(shape) * storage.dtype.itemsize > MAX_EXPANSION * self.size:
            raise ValueError("too much data for a file of this size")
        return LazyTensor(storage, offset, shape, strides)

    def rebuild_parameter(self, data: Any, *_: Any) -> Any:
        """Return the tensor of a parameter."""
        return data

    def rebuild_subclass(self, function: Any, _kind: Any, arguments: Any, _state: Any) -> Any:
        """Call the function that rebuilds a tensor subclass, which is a replacement or an `UnknownGlobal`."""
        return function(*arguments)

    # Opcodes that work differently from those of `pickle`

    def new_object(self) -> None:
        """Execute NEWOBJ."""
        arguments, kind = self.stack.pop(), self.stack.pop()
        self.append(kind(*arguments))

    def new_object_with_names(self) -> None:
        """Execute NEWOBJ_EX."""
        self.stack.pop()
        self.new_object()

    def build(self) -> None:
        """Execute BUILD."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, UnreadObject):
            target.state = state
        elif not isinstance(target, (dict, LazyTensor)):  # attributes of these are not weights
            raise ValueError(f"it sets attributes of a {type(target).__name__}")

    def _store(self, items: list[Any]) -> None:
        target = self.stack[-1]
        mapping = target.items if isinstance(target, UnreadObject) else target
        if type(mapping) is not dict:
            raise ValueError("it sets items of an object that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) in SCALARS:  # keys of other types, in optimizer states, are not names of weights
                mapping[key] = value

    dispatch: ClassVar[Any] = {
        **RestrictedUnpickler.dispatch,
        **{
            getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
            for name in ("BINPERSID", "BINSTRING", "SHORT_BINSTRING", "POP", "POP_MARK", "DUP")
        },
        pickle.NEWOBJ[0]: new_object,
        pickle.NEWOBJ_EX[0]: new_object_with_names,
        pickle.BUILD[0]: build,
    }


def _check_sizes(*numbers: Any) -> None:
    for number in numbers:
        if isinstance(number, str):  # the key of a storage
            continue
        if type(number) is not int or not 0 <= number < 2**63:
            raise ValueError("a tensor has an invalid size")
