"""Merge image caches that several machines built from parts of a list."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from chexnet._types import ProgressFn
from chexnet.data.cache.building import Appender, open_or_create
from chexnet.data.cache.manifest import MANIFEST, PIXELS, Manifest, checksum, format_line, read_manifest
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
    manifests = [read_manifest(Path(source), preprocessing) for source in folders]
    total = sum(len(manifest.row_by_name) for manifest in manifests)
    with atomic_directory(folder, (PIXELS, MANIFEST)) as new:
        appender = Appender(new, open_or_create(new, preprocessing))
        copied: dict[str, tuple[int, int]] = {}  # cache and row
        images = [_Images(Path(source), manifest) for source, manifest in zip(folders, manifests, strict=True)]
        done = 0
        for index, cache in enumerate(images):
            for name, row in cache.in_order():
                image = cache.read(name, row)
                if name in copied:
                    first, first_row = copied[name]
                    if not np.array_equal(images[first].read(name, first_row), image):
                        raise InputError(
                            f"{folders[index]}: {name} has other pixels than in {folders[first]}, expected the same "
                            "image; remove one of the two caches and build it again"
                        )
                else:
                    copied[name] = index, row
                    appender.add(name, cache.stamp(row), image)
                done += 1
                if progress is not None:
                    progress(done, total)
        appender.flush()
    return len(copied)


class _Images:
    """The images of a cache, verified when they are read."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        size = os.path.getsize(folder / PIXELS)
        self._pixels = np.memmap(folder / PIXELS, np.uint8, "r") if size else np.empty(0, np.uint8)

    def in_order(self) -> Iterator[tuple[str, int]]:
        """Yield names and rows in the order in which the images were added; replaced images are left out."""
        yield from sorted(self.manifest.row_by_name.items(), key=lambda item: item[1])

    def stamp(self, row: int) -> tuple[int, int]:
        """Return size and mtime of the source file."""
        return self.manifest.file_stamps([row])[0]

    def read(self, name: str, row: int) -> np.ndarray:
        """Return an image, uint8 [h, w]. Raises InputError if it is damaged."""
        *numbers, expected = self.manifest.numbers[row].tolist()
        offset, height, width = numbers[:3]
        image = np.array(self._pixels[offset : offset + height * width]).reshape(height, width)
        if checksum(format_line(name, *numbers), image) != expected:
            raise InputError(f"{self.folder}: {name} is damaged; remove the folder and build it again")
        return image
