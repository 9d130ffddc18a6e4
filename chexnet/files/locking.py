"""Locks on folders, so that one process at a time writes to a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chexnet.errors import InputError


@contextmanager
def exclusive_lock(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of `folder` during the block; a missing folder is created.

    The operating system locks a file `.lock` in the folder and releases it when the process ends, however that happens.
    A `.lock` that is left behind locks nothing.

    Raises:
        InputError: another process holds the lock, or the folder cannot be written or locked.
    """
    from filelock import FileLock, Timeout

    path = Path(folder) / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    # The fallback for file systems without locks would be a file that outlives a killed process.
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
