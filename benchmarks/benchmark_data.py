"""Input of the benchmark cases: radiographs, lists of any length, weights and image caches."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chexnet.config import DEFAULT_WORKERS
from chexnet.data import cache
from chexnet.data.lists import format_list, read_list
from chexnet.data.transforms import Preprocessing
from chexnet.model import checkpoint
from chexnet.phantom import make_dataset


@dataclass(frozen=True)
class Sizes:
    """Amounts of work in the cases.

    Attributes:
        repetitions: number of repetitions of each measurement.
        evaluated: images per evaluation with this library.
        reference: images per evaluation with a baseline, which is slow.
        decoded: images per measurement of decoding on one core.
        cached: images in the cache, read in each pass of the loader.
        passes: passes of the loader over the cache per measurement.
        listed: images of the whole data set, for lists and metrics.
        steps: steps per epoch, of 128 images each.
        trained: images to train on, at least three batches of 32.
        runs: numbers of images whose peak memory is compared, in ascending order.
    """

    repetitions: int = 3
    evaluated: int = 16
    reference: int = 8
    decoded: int = 64
    cached: int = 1536
    passes: int = 20
    listed: int = 112_120
    steps: int = 614
    trained: int = 160
    runs: tuple[int, ...] = (100, 1000, 10_000)


class ListedImages(NamedTuple):
    """A folder of images and a list of them."""

    data_dir: Path
    list_file: Path


class BenchmarkData:
    """Radiographs and everything derived from them, created when first used.

    Args:
        folder: folder to write to.
        images: number of phantoms to draw, or the most of `radiographs` to use.
        size: height and width of the phantoms, pixels.
        preprocessing: preprocessing of the checkpoint and the caches.
        radiographs: real radiographs to use instead of phantoms.
    """

    def __init__(
        self,
        folder: Path,
        images: int,
        size: int,
        preprocessing: Preprocessing,
        radiographs: ListedImages | None = None,
    ) -> None:
        self.folder = folder
        self.images = images
        self.size = size
        self.preprocessing = preprocessing
        self.radiographs = radiographs

    def repeated(self, count: int) -> ListedImages:
        """Return `count` images that repeat the radiographs, each under a new name."""
        listed = ListedImages(self.folder / f"images_{count}", self.folder / f"list_{count}.txt")
        if not listed.list_file.exists():
            listed.data_dir.mkdir()
            paths, labels = self._sources
            names = [f"{index:06d}{paths[index % len(paths)].suffix}" for index in range(count)]
            for index, name in enumerate(names):
                os.symlink(paths[index % len(paths)], listed.data_dir / name)
            listed.list_file.write_text(format_list(names, labels[np.arange(count) % len(paths)]))
        return listed

    def cache(self, count: int) -> Path:
        """Return an image cache of `repeated(count)`."""
        folder = self.folder / f"cache_{count}"
        if not folder.exists():
            listed = self.repeated(count)
            cache.build_cache(
                listed.data_dir, read_list(listed.list_file).names, folder, self.preprocessing, DEFAULT_WORKERS
            )
        return folder

    @cached_property
    def ckpt(self) -> Path:
        """A checkpoint with random weights; no benchmark depends on their values."""
        import paddle

        from chexnet.model import CheXNet

        paddle.seed(0)
        path = self.folder / "model.pdparams"
        checkpoint.save(CheXNet().state_dict(), path)
        checkpoint.write_metadata_file(path, {"resize": self.preprocessing.resize, "crop": self.preprocessing.crop})
        return path

    @cached_property
    def _sources(self) -> tuple[list[Path], np.ndarray]:
        """Paths and labels of the radiographs."""
        if self.radiographs:
            data_dir, lists = self.radiographs.data_dir, [self.radiographs.list_file]
        else:
            summary = make_dataset(self.folder / "phantoms", self.images, self.size, seed=0)
            data_dir, lists = summary.image_dir, list(summary.lists.values())
        parts = [read_list(path) for path in lists]
        paths = [(data_dir / name).resolve() for part in parts for name in part.names]
        return paths[: self.images], np.concatenate([part.labels for part in parts])[: self.images]
