"""Which files are meant by names of files and folders."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from chexnet.errors import InputError
from chexnet.images import dicom

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".pgm", ".ppm"),
    *dicom.SUFFIXES,
)
"""Of the files that are taken for images in a folder, in small letters; so are DICOM files of any name."""


def find(names: Iterable[str]) -> Iterator[Path | InputError]:
    """The image files that names of files and folders stand for, in the order of the names.

    A file is taken as it is, whatever it is. A folder stands for the images anywhere below it, sorted by path; what
    begins with a dot is left out. A folder without images gives an error, which is yielded and not raised: the
    others are there all the same.
    """
    for name in names:
        path = Path(name)
        try:
            is_folder = path.is_dir()
        except OSError:  # a name too long for the system, which the reader of the file will say
            is_folder = False
        if not is_folder:
            yield path
            continue
        try:
            found = sorted(_below(path))
        except OSError as error:
            yield InputError(f"{error.filename}: cannot be read: {error.strerror}")
            continue
        if not found:
            yield InputError(f"{path}: a folder without images, expected DICOM or files of {', '.join(SUFFIXES)}")
        yield from found


def _below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(here, name)
            if not name.startswith(".") and path.is_file() and _is_image(path):
                yield path


def _is_image(path: Path) -> bool:
    try:
        return path.suffix.lower() in SUFFIXES or dicom.is_dicom(path)
    except OSError:
        return True  # to be named when it is read, and not to be passed over


def _raise(error: OSError) -> None:
    raise error
