"""Work done ahead by threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch_map(
    function: Callable[[T], R], items: Iterable[T], workers: int, buffer_size: int
) -> Generator[R, None, None]:
    """`map(function, items)`, in order, of which threads compute up to `depth` results before they are asked for.

    An exception of `function` is raised as it is where its result would have come. Threads end with the
    iterator, also when it is closed early. Pays where `function` releases Python's lock, as Pillow, zlib and
    NumPy do.

    Args:
        function: what to compute of each item.
        items: taken from as results are.
        workers: threads; 0 computes in the caller's, nothing ahead.
        depth: bounds the memory.
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
