"""Find image files in folders."""

import heapq
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from chexnet.data.images import dicom_kinds
from chexnet.data.images.dicom_kinds import has_preamble, is_bare, kind_without_image, read_start
from chexnet.errors import InputError

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".pgm", ".ppm"),
    *dicom_kinds.SUFFIXES,
)
"""Suffixes, in lower case, of the image files in a folder. DICOM files are found with any suffix."""

MAX_NAMES = 200_000
"""Maximum number of names of a folder in memory. A larger folder is listed several times, which bounds the memory."""

MAX_KINDS = 6
"""Maximum number of kinds of skipped files that are listed; the others are counted together."""


def find_images(names: Iterable[str], skipped: Counter[str] | None = None) -> Iterator[Path | InputError]:
    """Yield the image files that paths of files and folders refer to, in the order of the paths.

    A file is yielded without a check of its suffix or content. A folder yields the images anywhere below it, except
    hidden files and folders. Their order is that of their paths: in each folder, files and folders are sorted by name,
    by the code points of its characters, and a folder's contents take the place of its name. They are found while they
    are used: memory does not grow with the number of files. A folder without images, an unreadable folder and a broken
    link yield an `InputError` instead of raising it, so that the other images are still found.

    Args:
        names: paths of files and folders.
        skipped: counter that receives the other contents of folders by kind: DICOM files without an image (DICOMDIR,
            structured reports), other files by suffix, and links to folders. `format_counts` formats it.
    """
    skipped = Counter() if skipped is None else skipped
    for name in names:
        path = Path(name)
        try:
            is_folder = path.is_dir()
        except OSError:  # the name is too long for the system; whoever reads the file reports that
            is_folder = False
        if not is_folder:
            yield path
            continue
        skipped_here: Counter[str] = Counter()
        found = False
        for image in _walk(path, skipped_here):
            found = True
            yield image
        if not found:
            others = f"; passed over: {format_counts(skipped_here)}" if skipped_here else ""
            yield InputError(
                f"{path}: a folder without images, expected DICOM or files of {', '.join(SUFFIXES)}{others}"
            )
        skipped.update(skipped_here)


def format_counts(skipped: Counter[str]) -> str:
    """Format the counts of `find_images`, highest first: '.txt (3), DICOM structured report (2)'."""
    kinds = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{kind} ({count:,})" for kind, count in kinds[:MAX_KINDS]]
    rest = sum(count for _, count in kinds[MAX_KINDS:])
    return ", ".join([*listed, f"others ({rest:,})"] if rest else listed)


def _walk(folder: Path, skipped: Counter[str]) -> Iterator[Path | InputError]:
    """Yield images and errors below a folder, in the order that `find_images` describes."""
    unfinished = [_entries(folder)]
    while unfinished:
        entry = next(unfinished[-1], None)
        if entry is None:
            unfinished.pop()
        elif isinstance(entry, InputError):
            yield entry
        elif entry.is_folder:
            unfinished.append(_entries(entry.path))
        elif entry.path.is_dir():
            skipped["link to a folder"] += 1
        elif entry.path.is_symlink() and not entry.path.exists():
            yield InputError(f"{entry.path}: a broken link to {os.readlink(entry.path)}")
        elif kind := _kind_to_skip(entry.path):
            skipped[kind] += 1
        else:
            yield entry.path


class _Entry(NamedTuple):
    path: Path
    is_folder: bool


def _entries(folder: Path) -> Iterator[_Entry | InputError]:
    """Yield the contents of a folder sorted by name, without hidden ones; at the end an error, if it is unreadable."""
    last = ""
    try:
        while True:
            with os.scandir(folder) as entries:
                visible = (entry for entry in entries if entry.name > last and not entry.name.startswith("."))
                names = heapq.nsmallest(MAX_NAMES, ((entry.name, _is_folder(entry)) for entry in visible))
            for name, is_folder in names:
                yield _Entry(folder / name, is_folder)
            if len(names) < MAX_NAMES:
                return
            last = names[-1][0]
    except OSError as error:
        yield InputError(f"{folder}: cannot be read: {error.strerror}")


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # whoever reads the file reports it
        return False


def _kind_to_skip(path: Path) -> str | None:
    """Return the kind of a file that is not an image; None for images and unreadable files."""
    if not path.is_file():
        return "pipe or device"
    suffix = path.suffix.lower()
    if suffix in SUFFIXES and suffix not in dicom_kinds.SUFFIXES:
        return None
    try:
        start = read_start(path)
    except OSError:
        return None  # not skipped: reading it reports the error
    if has_preamble(start) or is_bare(start):
        kind = kind_without_image(start)
        return kind and ("DICOMDIR" if kind == "DICOMDIR" else f"DICOM {kind}")
    if suffix in dicom_kinds.SUFFIXES:
        return None
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) < 8 else "without a known suffix"
