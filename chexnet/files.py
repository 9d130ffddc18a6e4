"""Files that are written whole or not at all, and folders that one process writes to."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
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


def check_folder(
    folder: str | os.PathLike[str], names: Collection[str], keep: Iterable[str | os.PathLike[str]]
) -> None:
    """Finds out before long work whether `replacing_folder` can do it afterwards; writes nothing.

    Args:
        folder: new, empty, or made earlier, in which case it will be replaced.
        names: of all files that may be in one that was made earlier.
        keep: files that are read, and so must not be in it.

    Raises:
        InputError: it is a file, has something else in it or one of `keep`, or cannot be written.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file, expected the name of a folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
        others = sorted(set(os.listdir(target)) - set(names)) if target.exists() else []
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    if others:
        raise InputError(
            f"{target}: holds {others[0]!r}, which would be lost; expected a new folder, an empty one, or one that was "
            "made like this before, which is replaced"
        )
    for one in keep:
        if Path(one).resolve().parent == target.resolve():
            raise InputError(f"{one}: is read by this run and would be replaced with {target}; choose another folder")
    if target.resolve() == Path.cwd():
        raise InputError(f"{target}: is the folder that this runs in, expected another one")


@contextmanager
def replacing_folder(folder: str | os.PathLike[str], names: Collection[str]) -> Iterator[Path]:
    """Yields a new folder, which takes the place of `folder` when the block succeeds and its files are on the disk.

    Args:
        folder: as `check_folder` wants it.
        names: see `check_folder`; no other file may be in the new folder at the end.

    Raises:
        InputError: it cannot be written; then the earlier one is as it was.
    """
    check_folder(folder, names, keep=())
    target = Path(folder)
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}{_MARK}", dir=target.parent))
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    new, old = made / "new", made / "old"
    try:
        new.mkdir()
        yield new
        for path in new.iterdir():
            assert path.name in names, path
            _fsync(path)
        if target.exists():
            os.rename(target, old)
        try:
            os.rename(new, target)
        except OSError:
            if old.exists():
                os.rename(old, target)
            raise
        _fsync(target.parent)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """All of a file. Raises InputError if it cannot be read, or is larger than the memory."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise InputError(f"{path}: cannot be read: there is not enough memory for a file of its size") from error


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
