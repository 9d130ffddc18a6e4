"""Folders that are replaced as a whole, and folders for a moment."""

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
from chexnet.files.writing import keep_mode, refusal, sync, sync_folder, temporary_name

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Of Linux's renameat2."""


@contextmanager
def atomic_directory(folder: str | os.PathLike[str], names: Collection[str]) -> Iterator[Path]:
    """Yield a new folder, whose files take the place of `folder`'s when the block succeeds and they are on the disk.

    On Linux, on a local file system, the two folders change places in one step: a reader, and whoever looks after a
    kill, sees the old or the new. Elsewhere, and where `folder` is a mount point, the old files are moved away one by
    one and then the new ones come in. If that is interrupted the old ones come back; if the process is killed in the
    middle of it some files are missing, never some old and some new, and all are in a folder `.*.tmp-*` in `folder`.

    Args:
        folder: as `check_folder` wants it.
        names: see `check_folder`; no other file may be in the new folder at the end.

    Raises:
        InputError: it cannot be written; then the earlier one is as it was.
    """
    check_folder(folder, names, protected=())
    target = Path(os.path.realpath(folder))
    made = (target if target.is_dir() else target.parent) / temporary_name(target)
    new = made / "new"
    try:
        try:
            made.mkdir()
            new.mkdir()
            yield new
            for path in new.iterdir():
                assert path.name in names, path
                sync(path)
            _take_place(made, target, names)
            sync_folder(target.parent)
        finally:
            if not (made / "old").exists():
                shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise refusal(Path(folder), made, error) from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder in the system's folder for temporary files, which is removed after the block.

    Raises:
        InputError: there is none that can be written to, or it is full.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="chexnet-", ignore_cleanup_errors=True)
    except OSError as error:
        raise InputError(
            f"no folder for temporary files: {error.strerror or error}; the environment variable TMPDIR names one"
        ) from error
    with folder as name:
        try:
            yield Path(name)
        except OSError as error:
            raise refusal(Path(tempfile.gettempdir()), Path(name), error) from error


def _take_place(made: Path, target: Path, names: Collection[str]) -> None:
    """Puts `made/new` in the place of `target`."""
    new = made / "new"
    if not target.exists():
        os.rename(new, target)
        return
    keep_mode(target, new)
    outside = target.with_name(temporary_name(target))  # a folder cannot change places with one that it holds
    try:
        with suppress(OSError):  # `target` is a mount point, or the folder that it is in cannot be written to
            os.rename(new, outside)
        if outside.exists():
            if _exchange(outside, target):
                return
            os.rename(outside, new)
        _refill(made, target, names)
    finally:
        shutil.rmtree(outside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Lets two folders change places in one step; gives whether the system could."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):  # of a C library that lacks it
        return False
    paths = [ctypes.c_char_p(os.fsencode(path)) for path in (one, other)]
    return rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0


def _refill(made: Path, target: Path, names: Collection[str]) -> None:
    """Moves the files of `target` to `made/old`, and those of `made/new` to `target`; back if one cannot be moved."""
    new, old = made / "new", made / "old"
    old.mkdir()
    moves = [(target / name, old / name) for name in sorted(names) if (target / name).exists()]
    moves += [(path, target / path.name) for path in new.iterdir()]
    begun = []
    try:
        for source, place in moves:
            begun.append((source, place))
            os.rename(source, place)
    except BaseException:
        with suppress(OSError):  # what cannot go back stays in `old`, which is not removed then
            for source, place in reversed(begun):
                if place.exists():
                    os.rename(place, source)
            old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)
