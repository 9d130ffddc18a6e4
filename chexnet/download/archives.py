"""Archives of files: unpacked into one folder, and nowhere else."""

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from chexnet.errors import InputError

Progress = Callable[[int, int], object]

_MAX_READ = 1 << 24
"""Bytes; more are read at once only where a header lies about its size."""


def unpack(archive: str | os.PathLike[str], folder: str | os.PathLike[str], progress: Progress) -> int:
    """Writes the files of a .tar.gz archive into a folder, after looking at all of it.

    Only names and bytes are taken from the archive: no owners, modes or times, no links, no devices. A file that is
    there with its size is left as it is, so that this may be repeated.

    Args:
        archive: the file.
        folder: is made if missing.
        progress: called with the bytes of the archive that are done and all of them, twice from the beginning on.

    Returns:
        How many files the archive has.

    Raises:
        InputError: the archive is damaged, holds something else than files and folders, or a name that leads out of
            the folder, or more than there is room for; nothing is written. Or a file is there with another size, or
            cannot be written; those before it are there.
    """
    try:
        sizes = [(member.name, member.size) for member, _ in _files(archive, progress)]
        _check_room(sizes, archive, Path(folder))
        for member, content in _files(archive, progress):
            _write(member, content, archive, Path(folder))
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno:
            raise InputError(f"{archive}: cannot be unpacked into {folder}: {error.strerror}") from error
        raise InputError(f"{archive}: not a whole .tar.gz archive ({error}); remove it and fetch it again") from error
    return len(sizes)


class _Stream(gzip.GzipFile):
    """What a packed file holds, read in steps: `tarfile` asks for as much as a header says, or for less than 0."""

    def __init__(self, packed: IO[bytes]) -> None:
        super().__init__(fileobj=packed, mode="rb")

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _files(archive: str | os.PathLike[str], progress: Progress) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Its files, and at the end the checksum of all of it, which `tarfile` does not read."""
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
    """Whether it is a file rather than a folder. Raises InputError if it is neither, or leads out of the folder."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name:
        raise InputError(f"{archive}: holds {member.name!r}, expected names inside the folder alone")
    if not member.name.isprintable():
        raise InputError(f"{archive}: holds {member.name!r}, expected names that can be printed")
    if not (member.isreg() or member.isdir()):
        raise InputError(f"{archive}: holds {member.name!r}, a link or device, expected files and folders alone")
    if member.issparse():
        raise InputError(f"{archive}: holds {member.name!r}, a file with holes, expected files with all their bytes")
    if member.size < 0:  # `tarfile` would go back by as much, and find the same file for ever (CVE-2025-8194)
        raise InputError(f"{archive}: holds {member.name!r} of {member.size:,} bytes, expected 0 or more")
    return member.isreg()


def _check_room(sizes: list[tuple[str, int]], archive: str | os.PathLike[str], folder: Path) -> None:
    """Raises InputError if the files that are not there yet are larger than the free part of the disk."""
    needed = sum(size for name, size in sizes if not (folder / name).exists())
    free = shutil.disk_usage(next(one for one in (folder, *folder.absolute().parents) if one.exists())).free
    if needed > free:
        raise InputError(f"{archive}: its files take {needed:,} bytes, {folder} has {free:,} free; nothing is unpacked")


def _write(member: tarfile.TarInfo, content: IO[bytes], archive: str | os.PathLike[str], folder: Path) -> None:
    target = folder / member.name
    if target.exists():
        if target.is_file() and target.stat().st_size == member.size:
            return
        raise InputError(f"{target}: is there already, and not as in {archive}; move it away and run this again")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")  # not `files.replacing`, which waits for the disk every time
    with open(temporary, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    os.replace(temporary, target)
