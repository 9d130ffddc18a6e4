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
            the folder; nothing is written. Or a file is there with another size, or cannot be written; those before
            it are there.
    """
    try:
        count = sum(1 for _ in _files(archive, progress))
        for member, content in _files(archive, progress):
            _write(member, content, archive, Path(folder))
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise InputError(f"{archive}: cannot be unpacked into {folder}: {error.strerror}") from error
        raise InputError(f"{archive}: not a whole .tar.gz archive ({error}); remove it and fetch it again") from error
    return count


def _files(archive: str | os.PathLike[str], progress: Progress) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Its files, and at the end the checksum of all of it, which `tarfile` does not read."""
    size = os.stat(archive).st_size
    with open(archive, "rb") as packed, gzip.open(packed) as stream:
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
    return member.isreg()


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
