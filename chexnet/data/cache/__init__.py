"""Images decoded and resized once, kept in one memory-mapped file. docs/data.md describes the files."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chexnet.config import MAX_SAMPLE_BITS
from chexnet.data.cache.building import BuildResult, Progress, build
from chexnet.data.cache.manifest import PIXELS, checksum, line_of, read_manifest, source_of
from chexnet.data.lists import find_images
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError

__all__ = ["BuildResult", "ImageCache", "build"]


class ImageCache:
    """An image cache, opened to be read.

    Args:
        folder: what `build` has written, complete or not.
        preprocessing: must resize as it did for the cache; its crop does not matter.

    Raises:
        InputError: there is no cache, it was built in another way, or its files are damaged.
    """

    def __init__(self, folder: str | os.PathLike[str], preprocessing: Preprocessing) -> None:
        self.folder = Path(folder)
        self.preprocessing = preprocessing
        self._manifest = read_manifest(self.folder, preprocessing)
        size = os.path.getsize(self.folder / PIXELS)
        # A plain array: slices of np.memmap itself are slow to make.
        self._pixels = np.asarray(np.memmap(self.folder / PIXELS, np.uint8, "r")) if size else np.empty(0, np.uint8)
        self._places = np.ascontiguousarray(self._manifest.numbers[:, :3])

    def __len__(self) -> int:
        return len(self._manifest.row_of)

    def __contains__(self, name: str) -> bool:
        return name in self._manifest.row_of

    def image(self, row: int) -> np.ndarray:
        """The resized image of a row that `rows` gave: uint8 [h, w], read-only, in the mapped file itself."""
        offset, height, width = self._places[row].tolist()
        return self._pixels[offset : offset + height * width].reshape(height, width)

    def rows(
        self,
        names: Sequence[str],
        list_file: str | os.PathLike[str],
        data_dir: str | os.PathLike[str],
        lines: Sequence[int] | None = None,
    ) -> np.ndarray:
        """Where the images of a list are: int64 [N], for `image`.

        Args:
            names: N names below `data_dir`.
            list_file: where they come from, for messages.
            data_dir: folder of the originals. Those that are there must be the ones that were cached; the
                others, and the folder itself, may be missing.
            lines: of the names in the list, counted from 1; None if they are the whole list.

        Raises:
            InputError: the cache lacks images, or has them of originals that have changed since: how many,
                and the first ten with their lines.
        """
        row_of = self._manifest.row_of
        rows = np.fromiter((row_of.get(name, -1) for name in names), np.int64, len(names))
        lines = lines or range(1, len(names) + 1)
        self._refuse(np.flatnonzero(rows < 0), "are not in the cache", names, lines, list_file, data_dir)
        files = find_images(names, data_dir, list_file) if os.path.isdir(data_dir) else ()
        originals = zip(files, self._manifest.sources(rows), strict=bool(files))
        changed = [index for index, (file, source) in enumerate(originals) if source_of(file) not in (None, source)]
        fault = f"have changed in {data_dir} since they were put in the cache"
        self._refuse(changed, fault, names, lines, list_file, data_dir)
        return rows

    def damaged(self, progress: Progress | None = None) -> list[str]:
        """Reads everything; the names of the images whose pixels or manifest line are not as they were written."""
        found = []
        for done, (name, row) in enumerate(self._manifest.row_of.items(), start=1):
            *numbers, expected = self._manifest.numbers[row].tolist()
            if checksum(line_of(name, *numbers), self.image(row)) != expected:
                found.append(name)
            if progress is not None:
                progress(done, len(self))
        return found

    def _refuse(
        self,
        indices: Sequence[int] | np.ndarray,
        fault: str,
        names: Sequence[str],
        lines: Sequence[int],
        list_file: str | os.PathLike[str],
        data_dir: str | os.PathLike[str],
    ) -> None:
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
