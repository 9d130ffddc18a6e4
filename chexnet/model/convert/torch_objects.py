"""Objects in PyTorch's pickles: storages and tensors, read on demand, and objects of classes that are not run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

STORAGE_DTYPES = {
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
"""Class of a storage -> PyTorch's name of its dtype, and NumPy's code. NumPy has no bfloat16: u2 holds its bits."""


@dataclass(frozen=True)
class Storage:
    """Numbers outside of the pickle.

    Attributes:
        key: name of the storage in the file.
        precision: PyTorch's name of the dtype.
        dtype: NumPy dtype of the stored numbers.
        count: number of numbers.
        first: index of the first number in the storage of that key.
        read: function that returns the bytes of a storage, given its key.
    """

    key: str
    precision: str
    dtype: np.dtype[Any]
    count: int
    first: int
    read: Callable[[str], bytes]


@dataclass(frozen=True)
class LazyTensor:
    """A tensor in a file, whose numbers are read when `array` is called.

    Attributes:
        storage: the storage that holds the numbers.
        offset: index of the first number in the storage.
        shape: shape of the tensor.
        strides: distance between neighboring elements along each dimension, in numbers.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def precision(self) -> str:
        """PyTorch's name of the dtype."""
        return self.storage.precision

    def array(self) -> np.ndarray:
        """Read the numbers. bfloat16 is widened to float32; other dtypes are kept."""
        numbers = np.frombuffer(self.storage.read(self.storage.key), self.storage.dtype)
        first = self.storage.first + self.offset
        strides = [stride * numbers.itemsize for stride in self.strides]
        array = np.lib.stride_tricks.as_strided(numbers[first:], self.shape, strides, writeable=False)
        if self.precision == "bfloat16":
            return (array.astype("u4") << 16).view("f4")
        return array.astype(array.dtype.newbyteorder("="), order="C")


@dataclass(eq=False)
class UnreadObject:
    """An object whose class was not imported: only the data that the file holds for it.

    Attributes:
        name: its class, or the function that would have built it.
        state: its attributes, usually a dictionary.
        items: its items, if its class is a subclass of dict.
    """

    name: str
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)

    def append(self, item: Any) -> None:
        """Ignore an item of a subclass of list."""

    def extend(self, items: Any) -> None:
        """Ignore several items of a subclass of list."""


@dataclass(frozen=True)
class UnknownGlobal:
    """A class or function that was not imported. Calling it returns an `UnreadObject`."""

    name: str

    def __call__(self, *arguments: Any) -> UnreadObject:
        """Return an object of the class; `copyreg._reconstructor` gets the class as its first argument."""
        source = arguments[0] if self.name.endswith("._reconstructor") and arguments else self
        return UnreadObject(source.name if isinstance(source, UnknownGlobal) else self.name)
