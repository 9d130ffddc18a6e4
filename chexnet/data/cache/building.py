"""Building an image cache, and going on with it after an interruption."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chexnet.data import images
from chexnet.data.cache.manifest import (
    MANIFEST,
    PIXELS,
    Manifest,
    checksum,
    header_of,
    line_of,
    read_manifest,
    source_of,
)
from chexnet.data.lists import find_images
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.files import check_apart, exclusive_lock, write_text
from chexnet.prefetch import prefetch_map

Progress = Callable[[int, int], None]
"""Is told how many images are done, and of how many."""

FLUSH_BYTES = 2**22
"""Pixels that wait in memory before they go to the disk: what an interrupted build loses, 64 square images."""

IMAGES_AHEAD = 16
"""Images that each thread may have ready, so that it works on while others go to the disk."""


@dataclass(frozen=True)
class BuildResult:
    """What a build did.

    Attributes:
        added: images that the cache did not have.
        kept: images that it had already.
        redone: images that it had of a file that has changed since.
        failed: for each file that could not be read, its name and why.
        size: bytes on disk of the whole cache.
    """

    added: int
    kept: int
    redone: int
    failed: tuple[str, ...]
    size: int


def build(
    data_dir: str | os.PathLike[str],
    names: Iterable[str],
    folder: str | os.PathLike[str],
    preprocessing: Preprocessing,
    workers: int,
    progress: Progress | None = None,
) -> BuildResult:
    """Puts images into a cache: all those that it lacks, and those whose files have changed.

    However it ends, the cache holds all but the last FLUSH_BYTES of what was done, and the next call goes on
    from there.

    Args:
        data_dir: folder of the images.
        names: of images, found below it by `lists.find_images`; a name that comes again is the same image.
        folder: of the cache, made if it is missing.
        preprocessing: how images are resized.
        workers: decoding threads, 0 for none.
        progress: is told how many of the images that have to be read are done.

    Raises:
        InputError: `data_dir` is missing or has two files of one name; `folder` cannot be written (a full disk), is
            `data_dir`, another process is building there, or it holds a cache that is damaged or was built in another
            way. Images that do not decode are in the result.
    """
    folder = Path(folder)
    check_apart(folder, data_dir)
    with exclusive_lock(folder):
        if not (folder / MANIFEST).exists():
            _check_unused(folder / PIXELS)
            write_text(folder / PIXELS, "")
            write_text(folder / MANIFEST, json.dumps(header_of(preprocessing)) + "\n")
        manifest = read_manifest(folder, preprocessing)
        recorded = dict(zip(manifest.row_of, manifest.sources(list(manifest.row_of.values())), strict=True))
        names = list(dict.fromkeys(names))
        root = Path(data_dir)
        files = dict(zip(names, find_images(names, root, "the lists"), strict=True))
        sources = {name: source_of(path) for name, path in files.items()}
        todo = [name for name, source in sources.items() if source is None or recorded.get(name) != source]

        def resize(name: str) -> np.ndarray | InputError:
            try:
                return preprocessing.resize_image(
                    images.open_gray(files[name] or root / name, preprocessing.sample_bits)
                )
            except InputError as error:
                return error

        appender = _Appender(folder, manifest)
        failed = []
        redone = 0
        with closing(prefetch_map(resize, todo, workers, IMAGES_AHEAD * workers)) as resized:
            for done, (name, image) in enumerate(zip(todo, resized, strict=True), start=1):
                if isinstance(image, InputError):
                    failed.append(str(image))
                else:
                    appender.add(name, sources[name] or (0, 0), image)
                    redone += name in recorded
                if progress is not None:
                    progress(done, len(todo))
        appender.flush()
        size = sum(os.path.getsize(folder / file) for file in (PIXELS, MANIFEST))
        return BuildResult(len(todo) - len(failed) - redone, len(sources) - len(todo), redone, tuple(failed), size)


def _check_unused(pixels: Path) -> None:
    if pixels.exists() and pixels.stat().st_size:
        raise InputError(
            f"{pixels}: is there without {MANIFEST}, so it may be no cache's; expected a new folder or that of a cache"
        )


class _Appender:
    """Adds images to the files of a cache; the process may end anywhere in it.

    Pixels come first, and only when these are on the disk the lines that speak of them. What an earlier
    process left half done is cut off.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.end = manifest.end
        self.pixels: list[bytes] = []
        self.lines: list[str] = []
        self.waiting = 0
        with _writing(folder):
            os.truncate(folder / PIXELS, manifest.end)
            os.truncate(folder / MANIFEST, manifest.length)

    def add(self, name: str, source: tuple[int, int], image: np.ndarray) -> None:
        line = line_of(name, self.end, *image.shape, *source)
        self.lines.append(f"{line} {checksum(line, image)}\n")
        self.pixels.append(image.tobytes())
        self.end += image.size
        self.waiting += image.size
        if self.waiting >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self.lines:
            return
        with _writing(self.folder):
            _append(self.folder / PIXELS, b"".join(self.pixels))
            _append(self.folder / MANIFEST, "".join(self.lines).encode())
        self.pixels.clear()
        self.lines.clear()
        self.waiting = 0


def _append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written: {error.strerror}; what was written before is kept: "
            "make room, then run the same command again"
        ) from error
