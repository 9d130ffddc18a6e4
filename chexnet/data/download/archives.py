"""Unpack archives into one folder, and nowhere else."""

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
"""Bytes per read; only a header that lies about its size asks for more."""


def unpack(archive: str | os.PathLike[str], folder: str | os.PathLike[str], progress: Progress) -> int:
    """Write the files of a .tar.gz archive into a folder, after a check of the whole archive.

    Only names and bytes are taken from the archive: no owners, modes or times, no links, no devices. An existing file
    of the same size is left as it is, so that unpacking can be repeated.

    Args:
        archive: path of the archive.
        folder: target folder, made if missing.
        progress: called with the bytes of the archive that are done and its size; the archive is read twice.

    Returns:
        The number of files in the archive.

    Raises:
        InputError: nothing was written, because the archive is damaged, holds anything but files and folders, has a
            name that leads out of the folder, or does not fit on the disk; or files were written up to one that
            exists with another size or cannot be written.
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
    """The unpacked bytes of a file, with a limit per read: `tarfile` asks for what a header says, even less than 0."""

    def __init__(self, packed: IO[bytes]) -> None:
        super().__init__(fileobj=packed, mode="rb")

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _files(archive: str | os.PathLike[str], progress: Progress) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Yield the files of an archive, then check its checksum, which `tarfile` does not read."""
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
    """Tell files from folders.

    By hand, because `tarfile.data_filter` lets links, holes and sizes below 0 pass, makes absolute names relative
    rather than refuse them, and is missing before Python 3.10.12 and 3.11.4.

    Raises:
        InputError: the member is neither a file nor a folder, or leads out of the folder.
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name:
        raise InputError(f"{archive}: holds {member.name!r}, expected names inside the folder alone")
    if not member.name.isprintable():
        raise InputError(f"{archive}: holds {member.name!r}, expected names that can be printed")
    if not (member.isreg() or member.isdir()):
        raise InputError(f"{archive}: holds {member.name!r}, a link or device, expected files and folders alone")
    if member.issparse():
        raise InputError(f"{archive}: holds {member.name!r}, a file with holes, expected files with all their bytes")
    if member.size < 0:  # `tarfile` would go back and find the same member again, without end (CVE-2025-8194)
        raise InputError(f"{archive}: holds {member.name!r} of {member.size:,} bytes, expected 0 or more")
    return member.isreg()


def _check_room(sizes: list[tuple[str, int]], archive: str | os.PathLike[str], folder: Path) -> None:
    """Raise InputError if the files that are still missing need more than the free space of the disk."""
    needed = sum(size for name, size in sizes if not (folder / name).exists())
    free = shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free
    if needed > free:
        raise InputError(f"{archive}: its files take {needed:,} bytes, {folder} has {free:,} free; nothing is unpacked")


def _write(member: tarfile.TarInfo, content: IO[bytes], archive: str | os.PathLike[str], folder: Path) -> None:
    target = folder / member.name
    if target.exists():
        if target.is_file() and target.stat().st_size == member.size:
            return
        raise InputError(f"{target}: exists and differs from that in {archive}; move it away and run this again")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")  # not `files.replacing`, which syncs every file to the disk
    with open(temporary, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    os.replace(temporary, target)
