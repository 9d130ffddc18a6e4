"""Files that are written whole or not at all, and folders that one process writes to."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chexnet.errors import InputError

_MARK = ".tmp-"
"""In the name of every file that is being written."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`, which becomes `path` when the block succeeds.

    The folder is made if it is missing. The data reach the disk (fsync) before the name changes
    (`os.replace`), so a reader sees the old file or the new one and never half of either. If the block
    raises, the temporary file is removed and `path` is as it was.

    Raises:
        InputError: the folder or the file cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}{_MARK}", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        _fsync(temporary)
        os.replace(temporary, target)
        _fsync(target.parent)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Removes the temporary files that killed processes left in `folder`; for its only writer, see `locked`."""
    for path in Path(folder).glob(f".*{_MARK}*"):
        path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` as UTF-8 with `\\n` line ends, whole or not at all. Raises InputError."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keeps other processes that ask for the same out of `folder` during the block.

    The folder is made if it is missing. The lock, on a file `.lock` in it, is the operating system's and ends
    with the process, however that ends; the file itself means nothing and stays.

    Raises:
        InputError: another process holds the lock, or the folder cannot be written or locked.
    """
    import fcntl  # which Windows lacks; everything else here works there

    path = Path(folder) / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{folder}: another process is writing to this folder, expected none; wait for it to end"
            ) from error
        except OSError as error:
            raise InputError(f"{folder}: cannot be locked: {error.strerror}") from error
        yield
    finally:
        os.close(descriptor)


def check_writable(path: str | os.PathLike[str], suffix: str, keep: Iterable[str | os.PathLike[str]]) -> None:
    """Finds out before long work whether `path` can be written afterwards; writes nothing.

    Args:
        path: the file to be written.
        suffix: what its name must end in, with the dot.
        keep: files that must not be replaced by it.

    Raises:
        InputError: its name ends otherwise, it is a folder or one of `keep`, or its folder cannot be written to.
    """
    target = Path(path)
    if target.suffix != suffix:
        raise InputError(f"{target}: expected a name that ends in {suffix}")
    if target.resolve() in {Path(one).resolve() for one in keep}:
        raise InputError(f"{target}: is read by this run and would be lost; choose another name")
    if target.is_dir():
        raise InputError(f"{target}: is a folder, expected the name of a file to write")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal. Raises InputError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
