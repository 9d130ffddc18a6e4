"""Files that are written whole or not at all."""

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
"""The names of files and folders that are being written, or that a killed process left; see `temporary_name`."""

_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
"""Errors of file systems that do not know fsync."""

_ATTEMPTS, _PAUSE = 5, 0.2
"""Renames that are tried, and the seconds between them: Windows refuses one while another program reads the file."""


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the temporary name of an empty file in the folder of `path`, which becomes `path` when the block succeeds.

    The folder is made if it is missing. The data reach the disk (fsync) before the name changes
    (`os.replace`), so a reader sees the old file or the new one and never half of either. If the block
    raises, the temporary file is removed and `path` is as it was. A new file's permissions are what the process's
    umask leaves of `rw-rw-rw-`, an older one's are kept.

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
        raise refusal(target, temporary, error) from error
    except InputError as error:
        if str(temporary) not in str(error):
            raise
        raise InputError(str(error).replace(str(temporary), str(target))) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 with `\\n` line ends, whole or not at all. Raises InputError."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_each(writers: Iterable[Callable[[], object]]) -> None:
    """Call each writer, whatever became of those before it.

    Raises:
        InputError: some raised it; the message holds each of theirs.
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
    """Remove the temporary files that killed processes left in `folder`; for its only writer, see `locked`.

    Args:
        folder: where.
        names: of the files that this writer writes, as patterns such as `best_model.*`. What other programs are
            writing there stays, and so do folders.
    """
    for path in Path(folder).iterdir():
        if (match := _LEFTOVER.fullmatch(path.name)) and path.is_file() and not path.is_symlink():
            written = match["stem"] + (match["suffix"] or "")
            if any(fnmatch.fnmatchcase(written, pattern) for pattern in names):
                with suppress(OSError):
                    path.unlink()


def is_leftover(name: str) -> bool:
    """Return whether a file's or folder's name is one that `temporary_name` makes."""
    return _LEFTOVER.fullmatch(name) is not None


def temporary_name(target: Path, suffix: str = "") -> str:
    """Make a new name for what is to become `target`, short enough wherever the target's is."""
    return f".{target.stem[:40]}.tmp-{secrets.token_hex(4)}{suffix}"


def create(target: Path) -> Path:
    """Create an empty file under a temporary name beside `target`, with its suffix. Raises OSError."""
    path = target.with_name(temporary_name(target, target.suffix if len(target.suffix) < 20 else ""))
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    return path


def refusal(target: Path, temporary: Path, error: OSError) -> InputError:
    """Make an InputError of what went wrong while `target` was written: it names another file if the system does."""
    reason = error.strerror or str(error)
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else target
    if named in (target, temporary) or temporary in named.parents or target in named.parents:
        return InputError(f"{target}: cannot be written: {reason}")
    return InputError(f"{named}: {reason}")


def sync(path: Path) -> None:
    """Bring a file's data to the disk, where the file system knows how. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR)  # Windows syncs only what is open for writing
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can: Windows cannot, nor can some network shares."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def keep_mode(old: Path, new: Path) -> None:
    """Give what replaces a file or folder its permissions: what was closed to others stays so."""
    with suppress(OSError):  # there is no older one
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
