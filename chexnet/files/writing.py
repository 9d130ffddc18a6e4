"""Atomic writes of files: completely or not at all."""

import errno
import fnmatch
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chexnet.errors import InputError

_LEFTOVER = re.compile(r"\.(?P<stem>.+)\.tmp-[0-9a-z_]{8}(?P<suffix>\.\w+)?")
"""Names of files and folders that are being written, or that a killed process left behind; see `temporary_name`."""

_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
"""Errors of file systems without fsync."""

_ATTEMPTS, _PAUSE = 5, 0.2
"""Number of attempts to rename, and seconds between them: Windows refuses while another program reads the file."""


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of an empty temporary file, which replaces `path` when the block succeeds.

    A missing folder is created. The data are synced to the disk (fsync) before the file is renamed (`os.replace`), so a
    reader sees either the complete old file or the complete new one. If the block raises, the temporary file is removed
    and `path` is unchanged. An existing file keeps its permissions; a new one gets `rw-rw-rw-` minus the umask.

    Raises:
        InputError: the folder or the file cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = create(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    try:
        yield temporary
        sync(temporary)
        keep_mode(target, temporary)
        _rename(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise write_error(target, temporary, error) from error
    except InputError as error:
        if str(temporary) not in str(error):
            raise
        raise InputError(str(error).replace(str(temporary), str(target))) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` atomically, as UTF-8 with `\\n` line ends. Raises InputError."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_each(writers: Iterable[Callable[[], object]]) -> None:
    """Call all writers, even if some of them fail.

    Raises:
        InputError: at least one writer raised it; the message joins theirs.
    """
    failures = []
    for write in writers:
        try:
            write()
        except InputError as error:
            failures.append(error)
    if failures:
        raise InputError("; ".join(map(str, failures))) from failures[0]


def remove_leftovers(folder: str | os.PathLike[str], names: Iterable[str]) -> None:
    """Remove temporary files that killed processes left in `folder`. The caller must hold its `exclusive_lock`.

    Args:
        folder: folder to clean.
        names: patterns of the files that the caller writes, such as `best_model.*`. Temporary files of other programs
            and all folders are kept.
    """
    for path in Path(folder).iterdir():
        if (match := _LEFTOVER.fullmatch(path.name)) and path.is_file() and not path.is_symlink():
            target = match["stem"] + (match["suffix"] or "")
            if any(fnmatch.fnmatchcase(target, pattern) for pattern in names):
                with suppress(OSError):
                    path.unlink()


def is_leftover(name: str) -> bool:
    """Return whether a name is one that `temporary_name` makes."""
    return _LEFTOVER.fullmatch(name) is not None


def temporary_name(target: Path, suffix: str = "") -> str:
    """Return a new name for a file or folder that will become `target`; long names are shortened."""
    return f".{target.stem[:40]}.tmp-{secrets.token_hex(4)}{suffix}"


def create(target: Path) -> Path:
    """Create an empty file with a temporary name in the folder of `target`, with its suffix. Raises OSError."""
    path = target.with_name(temporary_name(target, target.suffix if len(target.suffix) < 20 else ""))
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    return path


def write_error(target: Path, temporary: Path, error: OSError) -> InputError:
    """Return the InputError for an OSError while `target` was written; it names another file if the system does."""
    reason = error.strerror or str(error)
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else target
    if named in (target, temporary) or temporary in named.parents or target in named.parents:
        return InputError(f"{target}: cannot be written: {reason}")
    return InputError(f"{named}: {reason}")


def sync(path: Path) -> None:
    """Flush a file's data to the disk, if the file system supports it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR)  # Windows syncs only files that are open for writing
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, if the system can; Windows and some network shares cannot."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def keep_mode(old: Path, new: Path) -> None:
    """Copy the permissions of a file or folder to its replacement, so that private data stay private."""
    with suppress(OSError):  # there is no old one
        shutil.copymode(old, new)


def _rename(temporary: Path, target: Path) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            os.replace(temporary, target)
            return
        except PermissionError:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(_PAUSE)
