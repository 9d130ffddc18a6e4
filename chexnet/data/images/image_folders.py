"""Which files are meant by names of files and folders."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from chexnet.data.images import dicom
from chexnet.data.images.dicom_kinds import has_preamble, is_bare, read_start, without_image
from chexnet.errors import InputError

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".pgm", ".ppm"),
    *dicom.SUFFIXES,
)
"""Of the files that are taken for images in a folder, in small letters; so are DICOM files of any name."""

MOST_KINDS = 6
"""That are named of what was passed over; the others are counted together."""


def find(names: Iterable[str], passed_over: Counter[str] | None = None) -> Iterator[Path | InputError]:
    """The image files that names of files and folders stand for, in the order of the names.

    A file is taken as it is, whatever it is. A folder stands for the images anywhere below it, sorted by path; what
    begins with a dot is left out. A folder without images, a folder that cannot be read and a link that leads
    nowhere give an error, which is yielded and not raised: the others are there all the same.

    Args:
        names: of files and folders.
        passed_over: counts, by kind, what else lies in folders: DICOM files that hold no image (DICOMDIR, structured
            reports), other files by their suffix, links to folders. `describe` has a line for it.
    """
    passed_over = Counter() if passed_over is None else passed_over
    for name in names:
        path = Path(name)
        try:
            is_folder = path.is_dir()
        except OSError:  # a name too long for the system, which the reader of the file will say
            is_folder = False
        if not is_folder:
            yield path
            continue
        here: Counter[str] = Counter()
        found = sorted(_below(path, here), key=lambda one: one[0])
        if not found:
            beside = f"; passed over: {describe(here)}" if here else ""
            yield InputError(
                f"{path}: a folder without images, expected DICOM or files of {', '.join(SUFFIXES)}{beside}"
            )
        passed_over.update(here)
        yield from (one for _, one in found)


def describe(passed_over: Counter[str]) -> str:
    """What `find` has counted, most first: '.txt (3), DICOM structured report (2)'."""
    kinds = passed_over.most_common()
    shown = [f"{kind} ({number:,})" for kind, number in kinds[:MOST_KINDS]]
    rest = sum(number for _, number in kinds[MOST_KINDS:])
    return ", ".join([*shown, f"others ({rest:,})"] if rest else shown)


def _below(folder: Path, passed_over: Counter[str]) -> Iterator[tuple[Path, Path | InputError]]:
    """Images and errors, each with the path to sort it by."""
    unreadable: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        passed_over["link to a folder"] += sum(Path(here, name).is_symlink() for name in folders)
        for name in files:
            path = Path(here, name)
            if name.startswith("."):
                continue
            if path.is_symlink() and not path.exists():
                yield path, InputError(f"{path}: a link that leads nowhere, to {os.readlink(path)}")
            elif kind := _kind_beside_images(path):
                passed_over[kind] += 1
            else:
                yield path, path
    for error in unreadable:
        path = Path(error.filename)
        yield path, InputError(f"{path}: cannot be read: {error.strerror}")
    passed_over += Counter()  # takes off what was counted 0 times


def _kind_beside_images(path: Path) -> str | None:
    """What a file in a folder is if it is no image; None for images and for what cannot be read."""
    if not path.is_file():
        return "pipe or device"
    suffix = path.suffix.lower()
    if suffix in SUFFIXES and suffix not in dicom.SUFFIXES:
        return None
    try:
        start = read_start(path)
    except OSError:
        return None  # to be named when it is read, and not to be passed over
    if has_preamble(start) or is_bare(start):
        kind = without_image(start)
        return kind and ("DICOMDIR" if kind == "DICOMDIR" else f"DICOM {kind}")
    if suffix in dicom.SUFFIXES:
        return None
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) < 8 else "without a known suffix"
