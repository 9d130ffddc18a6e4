"""Folders that one process at a time writes to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chexnet.errors import InputError


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes that ask for the same out of `folder` during the block.

    The folder is made if it is missing. The lock, on a file `.lock` in it, is the operating system's and ends
    with the process, however that ends; the file itself means nothing.

    Raises:
        InputError: another process holds the lock, or the folder cannot be written or locked.
    """
    from filelock import FileLock, Timeout

    path = Path(folder) / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    # Its substitute where a file system has no locks is a file that would outlive a killed process.
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"{folder}: another process is writing to this folder, expected none; wait for it to end"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be locked: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
