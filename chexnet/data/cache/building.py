"""Build an image cache, and resume after an interruption."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet._types import ProgressFn
from chexnet.data import images
from chexnet.data.cache.manifest import (
    MANIFEST,
    PIXELS,
    Manifest,
    checksum,
    expected_header,
    file_stamp,
    format_line,
    read_manifest,
)
from chexnet.data.lists import find_images
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.files import check_apart, exclusive_lock, write_text
from chexnet.prefetch import prefetch_map

FLUSH_BYTES = 2**22
"""Maximum number of pixel bytes in memory before a write, about 64 images. An interruption loses at most these."""

PREFETCH_IMAGES = 16
"""Images that each thread may prepare while others are written."""


@dataclass(frozen=True)
class BuildResult:
    """The result of a build.

    Attributes:
        added: number of new images.
        kept: number of images that were already in the cache.
        redone: number of images that were replaced, because their files have changed.
        failed: names of the files that could not be read, with the reasons.
        size: size of the cache on disk, bytes.
    """

    added: int
    kept: int
    redone: int
    failed: tuple[str, ...]
    size: int


def build_cache(
    data_dir: str | os.PathLike[str],
    names: Iterable[str],
    folder: str | os.PathLike[str],
    preprocessing: Preprocessing,
    workers: int,
    progress: ProgressFn | None = None,
) -> BuildResult:
    """Add images to a cache: those that are missing in it, and those whose files have changed.

    After an interruption, the cache contains all finished images except the last FLUSH_BYTES. The next call resumes
    there.

    Args:
        data_dir: image folder.
        names: names of the images, see `lists.find_images`. Repeated names are ignored.
        folder: folder of the cache, created if missing.
        preprocessing: sizes of the images.
        workers: decoding threads, 0 for none.
        progress: callback for the number of images read.

    Returns:
        The counts, and the images that do not decode.

    Raises:
        InputError: `data_dir` is missing or an image matches two files; or `folder` cannot be written, is `data_dir`,
            is being written by another process, or has a cache that is damaged or was built with other settings.
    """
    folder = Path(folder)
    check_apart(folder, data_dir)
    with exclusive_lock(folder):
        manifest = open_or_create(folder, preprocessing)
        rows = manifest.row_by_name
        recorded = dict(zip(rows, manifest.file_stamps(list(rows.values())), strict=True))
        names = list(dict.fromkeys(names))
        root = Path(data_dir)
        files = dict(zip(names, find_images(names, root, "the lists"), strict=True))
        stamps = {name: file_stamp(path) for name, path in files.items()}
        todo = [name for name, stamp in stamps.items() if stamp is None or recorded.get(name) != stamp]

        def resize(name: str) -> np.ndarray | InputError:
            try:
                gray = images.open_gray(files[name] or root / name, preprocessing.sample_bits)
                return preprocessing.resize_image(gray)
            except InputError as error:
                return error

        appender = Appender(folder, manifest)
        failed = []
        redone = 0
        with closing(prefetch_map(resize, todo, workers, PREFETCH_IMAGES * workers)) as resized:
            for done, (name, image) in enumerate(zip(todo, resized, strict=True), start=1):
                if isinstance(image, InputError):
                    failed.append(str(image))
                else:
                    appender.add(name, stamps[name] or (0, 0), image)
                    redone += name in recorded
                if progress is not None:
                    progress(done, len(todo))
        appender.flush()
        size = sum(os.path.getsize(folder / file) for file in (PIXELS, MANIFEST))
        return BuildResult(len(todo) - len(failed) - redone, len(stamps) - len(todo), redone, tuple(failed), size)


def open_or_create(folder: Path, preprocessing: Preprocessing) -> Manifest:
    """Read the manifest of a cache, after creating an empty cache in a new folder."""
    if not (folder / MANIFEST).exists():
        pixels = folder / PIXELS
        if pixels.exists() and pixels.stat().st_size:
            raise InputError(
                f"{pixels}: exists without {MANIFEST}, so it may not belong to a cache; choose a new folder or a cache"
            )
        write_text(pixels, "")
        write_text(folder / MANIFEST, json.dumps(expected_header(preprocessing)) + "\n")
    return read_manifest(folder, preprocessing)


class Appender:
    """Append images to the files of a cache so that an interruption at any point leaves it valid.

    Manifest lines are written only after their pixels are on the disk. Incomplete data of an earlier process is
    truncated first.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.end = manifest.end
        self.pixels: list[bytes] = []
        self.lines: list[str] = []
        self.buffered = 0
        with _write_errors(folder):
            os.truncate(folder / PIXELS, manifest.end)
            os.truncate(folder / MANIFEST, manifest.length)

    def add(self, name: str, stamp: tuple[int, int], image: np.ndarray) -> None:
        """Add an image, uint8 [h, w], with size and mtime of its source file."""
        line = format_line(name, self.end, *image.shape, *stamp)
        self.lines.append(f"{line} {checksum(line, image)}\n")
        self.pixels.append(image.tobytes())
        self.end += image.size
        self.buffered += image.size
        if self.buffered >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the images that are still in memory."""
        if not self.lines:
            return
        with _write_errors(self.folder):
            _append(self.folder / PIXELS, b"".join(self.pixels))
            _append(self.folder / MANIFEST, "".join(self.lines).encode())
        self.pixels.clear()
        self.lines.clear()
        self.buffered = 0


def _append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _write_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written: {error.strerror}; images already in the cache are kept: free disk space, "
            "then run the same command again"
        ) from error
