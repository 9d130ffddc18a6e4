"""Parallel map with a bounded buffer."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch_map(
    function: Callable[[T], R], items: Iterable[T], workers: int, buffer_size: int
) -> Generator[R, None, None]:
    """Yield the results of `map(function, items)` in order, while threads compute up to `buffer_size` more in advance.

    An exception of `function` is raised in place of its result. The threads end with the iterator, also if it is closed
    early. This is faster than `map` if `function` releases the global interpreter lock, as Pillow, zlib and NumPy do.

    Args:
        function: function to apply to each item.
        items: inputs, consumed as the results are.
        workers: number of threads; 0 computes each result in the calling thread when it is requested.
        buffer_size: maximum number of results computed in advance, which bounds the memory.
    """
    if workers == 0:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers)
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > buffer_size:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
