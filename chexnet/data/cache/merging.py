"""Merge image caches that several machines built from parts of a list."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chexnet._types import ProgressFn
from chexnet.data.cache.building import Appender, open_or_create
from chexnet.data.cache.manifest import MANIFEST, PIXELS, Entry, Manifest, checksum, read_manifest
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.files import atomic_directory, check_apart, check_folder


def merge_caches(
    folders: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    preprocessing: Preprocessing,
    progress: ProgressFn | None = None,
) -> int:
    """Copy the images of several caches to a new one, in the order of the folders.

    Every image is checked against its checksum. The new cache has the bytes of one that was built in one run from the
    joined lists. An image in several caches is copied once.

    Args:
        folders: caches to merge; they are not changed.
        folder: folder of the new cache. It gets its contents at the end, all at once.
        preprocessing: sizes of the images, those of all caches.
        progress: callback for the number of images read.

    Returns:
        The number of images in the new cache.

    Raises:
        InputError: a cache is missing, damaged or was built with other settings, two caches have different pixels for
            one image, or `folder` is not new or empty or cannot be written.
    """
    check_folder(folder, (), protected=folders)
    for source in folders:
        check_apart(folder, source)
    caches = [_Images(Path(source), read_manifest(Path(source), preprocessing)) for source in folders]
    total = sum(len(cache.manifest) for cache in caches)
    copied = done = 0
    with atomic_directory(folder, (PIXELS, MANIFEST)) as new:
        appender = Appender(new, open_or_create(new, preprocessing))
        for index, cache in enumerate(caches):
            for position in cache.manifest.positions.tolist():
                entry = cache.manifest.entry(position)
                image = cache.read(entry)
                if not _is_copied(entry, image, cache, caches[:index]):
                    copied += 1
                    appender.add(entry.name, entry.source_stamp, image)
                done += 1
                if progress is not None:
                    progress(done, total)
        appender.flush()
    return copied


class _Images:
    """The images of a cache, verified when they are read."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        size = os.path.getsize(folder / PIXELS)
        self._pixels = np.memmap(folder / PIXELS, np.uint8, "r") if size else np.empty(0, np.uint8)

    def find(self, name: str) -> np.ndarray | None:
        """Return an image by its name, or None if the cache does not have it."""
        position = int(self.manifest.find([name])[0])
        return None if position < 0 else self.read(self.manifest.entry(position))

    def read(self, entry: Entry) -> np.ndarray:
        """Return an image, uint8 [h, w]. Raises InputError if it is damaged."""
        end = entry.offset + entry.height * entry.width
        image = np.array(self._pixels[entry.offset : end]).reshape(entry.height, entry.width)
        if checksum(entry.text, image) != entry.checksum:
            raise InputError(f"{self.folder}: {entry.name} is damaged; remove the folder and build it again")
        return image


def _is_copied(entry: Entry, image: np.ndarray, cache: _Images, earlier: Sequence[_Images]) -> bool:
    """Return whether an earlier cache has an image. Raises InputError if its pixels are different."""
    for other in earlier:
        if (copied := other.find(entry.name)) is not None:
            if not np.array_equal(copied, image):
                raise InputError(
                    f"{cache.folder}: {entry.name} has other pixels than in {other.folder}, expected the same image; "
                    "remove one of the two caches and build it again"
                )
            return True
    return False
