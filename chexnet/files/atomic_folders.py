"""Folders that are replaced as a whole, and temporary folders."""

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chexnet.errors import InputError
from chexnet.files.output_checks import check_folder
from chexnet.files.writing import keep_mode, sync, sync_folder, temporary_name, write_error

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Arguments of Linux's renameat2."""


@contextmanager
def atomic_directory(folder: str | os.PathLike[str], names: Collection[str]) -> Iterator[Path]:
    """Yield a new folder whose files replace those of `folder` when the block succeeds.

    The files are synced to the disk first. On a local file system on Linux, the two folders are exchanged in one step,
    so that a reader sees the old one or the new one, also after a kill. Elsewhere, and where `folder` is a mount point,
    the old files are moved away one by one before the new ones are moved in. If this is interrupted, the old files are
    moved back. If the process is killed in the middle, some files are missing, but old and new ones are never mixed;
    all of them are in a folder `.*.tmp-*` in `folder`.

    Args:
        folder: folder to replace; see `check_folder`.
        names: see `check_folder`; the new folder may contain no other files at the end.

    Raises:
        InputError: the folder cannot be written; the earlier one is unchanged.
    """
    check_folder(folder, names, protected=())
    target = Path(os.path.realpath(folder))
    staging = (target if target.is_dir() else target.parent) / temporary_name(target)
    new = staging / "new"
    try:
        try:
            staging.mkdir()
            new.mkdir()
            yield new
            for path in new.iterdir():
                assert path.name in names, path
                sync(path)
            _replace_folder(staging, target, names)
            sync_folder(target.parent)
        finally:
            if not (staging / "old").exists():
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise write_error(Path(folder), staging, error) from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder in the system's folder for temporary files; it is removed after the block.

    Raises:
        InputError: the system has no writable folder for temporary files, or it is full.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="chexnet-", ignore_cleanup_errors=True)
    except OSError as error:
        raise InputError(
            f"no folder for temporary files: {error.strerror or error}; set the environment variable TMPDIR to one"
        ) from error
    with folder as name:
        try:
            yield Path(name)
        except OSError as error:
            raise write_error(Path(tempfile.gettempdir()), Path(name), error) from error


def _replace_folder(staging: Path, target: Path, names: Collection[str]) -> None:
    """Replace `target` with `staging/new`."""
    new = staging / "new"
    if not target.exists():
        os.rename(new, target)
        return
    keep_mode(target, new)
    outside = target.with_name(temporary_name(target))  # a folder cannot be exchanged with one inside it
    try:
        with suppress(OSError):  # `target` is a mount point, or its parent folder is not writable
            os.rename(new, outside)
        if outside.exists():
            if _exchange(outside, target):
                return
            os.rename(outside, new)
        _refill(staging, target, names)
    finally:
        shutil.rmtree(outside, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step and return True, or return False if the system cannot."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):  # the C library lacks it
        return False
    paths = [ctypes.c_char_p(os.fsencode(path)) for path in (first, second)]
    return rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0


def _refill(staging: Path, target: Path, names: Collection[str]) -> None:
    """Move the files of `target` to `staging/old` and those of `staging/new` to `target`; undo it if a move fails."""
    new, old = staging / "new", staging / "old"
    old.mkdir()
    moves = [(target / name, old / name) for name in sorted(names) if (target / name).exists()]
    moves += [(path, target / path.name) for path in new.iterdir()]
    started = []
    try:
        for source, destination in moves:
            started.append((source, destination))
            os.rename(source, destination)
    except BaseException:
        with suppress(OSError):  # files that cannot be moved back stay in `old`, which is then kept
            for source, destination in reversed(started):
                if destination.exists():
                    os.rename(destination, source)
            old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)
