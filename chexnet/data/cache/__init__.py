"""Image cache: decoded and resized images in one memory-mapped file. docs/data.md describes the format."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chexnet._types import ProgressFn
from chexnet.config import MAX_SAMPLE_BITS
from chexnet.data.cache.building import BuildResult, build_cache
from chexnet.data.cache.from_arrays import cache_arrays
from chexnet.data.cache.manifest import PIXELS, Entry, checksum, file_stamp, read_manifest
from chexnet.data.cache.merging import merge_caches
from chexnet.data.lists import find_images
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError

__all__ = ["BuildResult", "ImageCache", "build_cache", "cache_arrays", "merge_caches"]


class ImageCache:
    """An image cache, opened for reading.

    Args:
        folder: output folder of `build_cache`, complete or not.
        preprocessing: sizes of the images, which must match those of the cache except for the crop.

    Raises:
        InputError: there is no cache, it was built with other settings, or its files are damaged.
    """

    def __init__(self, folder: str | os.PathLike[str], preprocessing: Preprocessing) -> None:
        self.folder = Path(folder)
        self.preprocessing = preprocessing
        self._manifest = read_manifest(self.folder, preprocessing)
        size = os.path.getsize(self.folder / PIXELS)
        # A plain array, because slicing np.memmap itself is slow.
        self._pixels = np.asarray(np.memmap(self.folder / PIXELS, np.uint8, "r")) if size else np.empty(0, np.uint8)

    def __len__(self) -> int:
        return len(self._manifest)

    def __contains__(self, name: str) -> bool:
        return bool(self._manifest.find([name])[0] >= 0)

    def image(self, row: int) -> np.ndarray:
        """Return the resized image of a row (see `rows`): uint8 [h, w], a read-only view of the mapped file."""
        return self._view(self._manifest.entry(int(row)))

    def rows(
        self,
        names: Sequence[str],
        list_file: str | os.PathLike[str],
        data_dir: str | os.PathLike[str],
        lines: Sequence[int] | None = None,
    ) -> np.ndarray:
        """Return the rows of images in the cache, int64 [N], for `image`: the positions of their manifest lines.

        Args:
            names: N image names.
            list_file: file that contains the names, for messages.
            data_dir: folder of the originals. Originals may be missing, but existing ones must not have changed since
                they were cached.
            lines: N line numbers in the list, from 1; None if the names are the whole list.

        Raises:
            InputError: images are not in the cache, or originals have changed. The message lists the first ten with
                their lines.
        """
        rows = self._manifest.find(names)
        lines = lines or range(1, len(names) + 1)
        self._refuse(np.flatnonzero(rows < 0), "are not in the cache", names, lines, list_file, data_dir)
        files = find_images(names, data_dir, list_file) if os.path.isdir(data_dir) else ()
        changed = [
            index
            for index, (file, row) in enumerate(zip(files, rows, strict=bool(files)))
            if file_stamp(file) not in (None, self._manifest.entry(int(row)).source_stamp)
        ]
        fault = f"have changed in {data_dir} since they were put in the cache"
        self._refuse(changed, fault, names, lines, list_file, data_dir)
        return rows

    def find_damaged(self, progress: ProgressFn | None = None) -> list[str]:
        """Read the whole cache and return the names of the images whose pixels or manifest lines are damaged."""
        found = []
        for done, position in enumerate(self._manifest.positions, start=1):
            entry = self._manifest.entry(int(position))
            if checksum(entry.text, self._view(entry)) != entry.checksum:
                found.append(entry.name)
            if progress is not None:
                progress(done, len(self))
        return found

    def _view(self, entry: Entry) -> np.ndarray:
        end = entry.offset + entry.height * entry.width
        return self._pixels[entry.offset : end].reshape(entry.height, entry.width)

    def _refuse(
        self,
        indices: Sequence[int] | np.ndarray,
        fault: str,
        names: Sequence[str],
        lines: Sequence[int],
        list_file: str | os.PathLike[str],
        data_dir: str | os.PathLike[str],
    ) -> None:
        """Raise InputError for the images at `indices`, if there are any, with the command that rebuilds them."""
        if len(indices) == 0:
            return
        bits = self.preprocessing.sample_bits
        shown = ", ".join(f"{names[index]} (line {lines[index]})" for index in indices[:10])
        raise InputError(
            f"{list_file}: {len(indices)} of {len(names)} images {fault} {self.folder}: "
            f"{shown}{', ...' * (len(indices) > 10)}; run: python tools/build_cache.py --data_dir {data_dir} "
            f"--lists {list_file} --output_dir {self.folder} --resize {self.preprocessing.resize}"
            f"{f' --sample_bits {bits}' if bits != MAX_SAMPLE_BITS else ''}"
        )
