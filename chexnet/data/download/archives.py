"""Unpack archives safely into a folder."""

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from chexnet._types import ProgressFn
from chexnet.errors import InputError

_MAX_READ = 1 << 24
"""Maximum number of bytes per read. Only a header with a false size makes `tarfile` ask for more."""


def unpack(archive: str | os.PathLike[str], folder: str | os.PathLike[str], progress: ProgressFn) -> int:
    """Write the files of a .tar.gz archive into a folder, after a check of the whole archive.

    Only names and contents are taken from the archive, not owners, modes or times. An existing file of the same size is
    kept, so that unpacking can be repeated.

    Args:
        archive: path of the archive.
        folder: target folder, created if missing.
        progress: callback for the bytes read and the size of the archive, which is read twice.

    Returns:
        The number of files in the archive.

    Raises:
        InputError: the archive is damaged, contains anything but files and folders, has a name that leads out of the
            folder, or does not fit on the disk; then nothing is written. Or a file cannot be written or exists with
            another size; then the files before it have been written.
    """
    try:
        sizes = [(member.name, member.size) for member, _ in _files(archive, progress)]
        _check_room(sizes, archive, Path(folder))
        for member, content in _files(archive, progress):
            _write(member, content, archive, Path(folder))
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno:
            raise InputError(f"{archive}: cannot be unpacked into {folder}: {error.strerror}") from error
        raise InputError(
            f"{archive}: not a complete .tar.gz archive ({error}); remove it and fetch it again"
        ) from error
    return len(sizes)


class _Stream(gzip.GzipFile):
    """A gzip stream with a limit per read, because `tarfile` reads any size that a header gives, even negative ones."""

    def __init__(self, packed: IO[bytes]) -> None:
        super().__init__(fileobj=packed, mode="rb")

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _files(archive: str | os.PathLike[str], progress: ProgressFn) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Yield the files of an archive, then verify the gzip checksum, which `tarfile` does not read."""
    size = os.stat(archive).st_size
    with open(archive, "rb") as packed, _Stream(packed) as stream:
        with tarfile.open(fileobj=stream, mode="r:") as members:
            for member in members:
                if _is_file(member, archive) and (content := members.extractfile(member)):
                    yield member, content
                progress(packed.tell(), size)
        while stream.read(1 << 20):
            pass


def _is_file(member: tarfile.TarInfo, archive: str | os.PathLike[str]) -> bool:
    """Return True for a file and False for a folder, and refuse other members.

    `tarfile.data_filter` is not enough: it accepts links, sparse files and negative sizes, makes absolute names
    relative, and is missing before Python 3.10.12 and 3.11.4.

    Raises:
        InputError: the member is neither a file nor a folder, or leads out of the folder.
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name:
        raise InputError(f"{archive}: contains {member.name!r}, expected only names inside the folder")
    if not member.name.isprintable():
        raise InputError(f"{archive}: contains {member.name!r}, expected printable names")
    if not (member.isreg() or member.isdir()):
        raise InputError(f"{archive}: contains {member.name!r}, a link or device, expected only files and folders")
    if member.issparse():
        raise InputError(f"{archive}: contains {member.name!r}, a sparse file, expected ordinary files")
    if member.size < 0:  # `tarfile` would find the same member again in an endless loop (CVE-2025-8194)
        raise InputError(f"{archive}: contains {member.name!r} of {member.size:,} bytes, expected 0 or more")
    return member.isreg()


def _check_room(sizes: list[tuple[str, int]], archive: str | os.PathLike[str], folder: Path) -> None:
    """Raise InputError if the missing files need more space than is free on the disk."""
    needed = sum(size for name, size in sizes if not (folder / name).exists())
    free = shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free
    if needed > free:
        raise InputError(
            f"{archive}: its files need {needed:,} bytes, but {folder} has {free:,} free; nothing was unpacked"
        )


def _write(member: tarfile.TarInfo, content: IO[bytes], archive: str | os.PathLike[str], folder: Path) -> None:
    target = folder / member.name
    if target.exists():
        if target.is_file() and target.stat().st_size == member.size:
            return
        raise InputError(f"{target}: exists and differs from the file in {archive}; move it away and run this again")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")  # not `files.atomic_write`, which syncs every file to the disk
    with open(temporary, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    os.replace(temporary, target)
