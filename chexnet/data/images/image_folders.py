"""Find image files in folders."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from chexnet.data.images import dicom
from chexnet.data.images.dicom_kinds import has_preamble, is_bare, kind_without_image, read_start
from chexnet.errors import InputError

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".pgm", ".ppm"),
    *dicom.SUFFIXES,
)
"""Suffixes, in lower case, of the image files in a folder. DICOM files are found with any suffix."""

MAX_KINDS = 6
"""Maximum number of kinds of skipped files that are listed; the others are counted together."""


def find_images(names: Iterable[str], skipped: Counter[str] | None = None) -> Iterator[Path | InputError]:
    """Yield the image files that paths of files and folders refer to, in the order of the paths.

    A file is yielded without a check of its suffix or content. A folder yields the images anywhere below it, sorted
    by path, except hidden files and folders. A folder without images, an unreadable folder and a broken link yield an
    `InputError` instead of raising it, so that the other images are still found.

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
        found = sorted(_walk(path, skipped_here), key=lambda pair: pair[0])
        if not found:
            others = f"; passed over: {format_counts(skipped_here)}" if skipped_here else ""
            yield InputError(
                f"{path}: a folder without images, expected DICOM or files of {', '.join(SUFFIXES)}{others}"
            )
        skipped.update(skipped_here)
        yield from (image for _, image in found)


def format_counts(skipped: Counter[str]) -> str:
    """Format the counts of `find_images`, highest first: '.txt (3), DICOM structured report (2)'."""
    kinds = skipped.most_common()
    listed = [f"{kind} ({count:,})" for kind, count in kinds[:MAX_KINDS]]
    rest = sum(count for _, count in kinds[MAX_KINDS:])
    return ", ".join([*listed, f"others ({rest:,})"] if rest else listed)


def _walk(folder: Path, skipped: Counter[str]) -> Iterator[tuple[Path, Path | InputError]]:
    """Yield images and errors below a folder, each with the path to sort it by."""
    unreadable: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        skipped["link to a folder"] += sum(Path(here, name).is_symlink() for name in folders)
        for name in files:
            path = Path(here, name)
            if name.startswith("."):
                continue
            if path.is_symlink() and not path.exists():
                yield path, InputError(f"{path}: a broken link to {os.readlink(path)}")
            elif kind := _kind_to_skip(path):
                skipped[kind] += 1
            else:
                yield path, path
    for error in unreadable:
        path = Path(error.filename)
        yield path, InputError(f"{path}: cannot be read: {error.strerror}")
    skipped += Counter()  # removes counts of 0


def _kind_to_skip(path: Path) -> str | None:
    """Return the kind of a file that is not an image; None for images and unreadable files."""
    if not path.is_file():
        return "pipe or device"
    suffix = path.suffix.lower()
    if suffix in SUFFIXES and suffix not in dicom.SUFFIXES:
        return None
    try:
        start = read_start(path)
    except OSError:
        return None  # not skipped: reading it reports the error
    if has_preamble(start) or is_bare(start):
        kind = kind_without_image(start)
        return kind and ("DICOMDIR" if kind == "DICOMDIR" else f"DICOM {kind}")
    if suffix in dicom.SUFFIXES:
        return None
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) < 8 else "without a known suffix"
