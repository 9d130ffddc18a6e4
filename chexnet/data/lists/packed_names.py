"""Image names in one block of memory, because Python's own strings need 70 to 140 bytes each in tuples and sets."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np

BLOCK = 4096
"""Names to decode at a time when all are read in order."""


class PackedNames(Sequence[str]):
    """A sequence of image names, none of which contains a line break. It equals a tuple of the same names.

    >>> names = PackedNames(["a.png", "b.png"])
    >>> names[1], names == ("a.png", "b.png")
    ('b.png', True)
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._text = bytearray()
        self._ends = array("q")
        for name in names:
            self.append(name)

    def append(self, name: str) -> None:
        """Add a name at the end."""
        self._text += name.encode()
        self._text.append(ord("\n"))
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(map(self.__getitem__, range(*index.indices(len(self)))))
        row = range(len(self))[index]
        return self._text[self._ends[row - 1] if row else 0 : self._ends[row] - 1].decode()

    def __iter__(self) -> Iterator[str]:
        start = 0
        for row in range(0, len(self), BLOCK):
            end = self._ends[min(row + BLOCK, len(self)) - 1]
            yield from self._text[start : end - 1].decode().split("\n")
            start = end

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PackedNames):
            return self._text == other._text
        return isinstance(other, tuple) and len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PackedNames({', '.join(map(repr, self[:3]))}{', ...' * (len(self) > 3)})"

    def first_repeat(self) -> tuple[int, int] | None:
        """Return the first row whose name is also in an earlier row, as (earlier row, row); None if there is none."""
        hashes = np.fromiter(map(hash, self), np.int64, len(self))
        order = np.argsort(hashes, kind="stable")
        equal = np.flatnonzero(np.diff(hashes[order]) == 0)
        first: dict[str, int] = {}
        for row in np.unique(order[np.concatenate([equal, equal + 1])]).tolist():
            if (earlier := first.setdefault(self[row], row)) != row:
                return earlier, row
        return None
