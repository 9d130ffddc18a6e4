"""What the cases work on: radiographs, lists of any length, weights and image caches."""

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
class Scale:
    """How much the cases do.

    Attributes:
        repetitions: of every measurement.
        evaluated: images that ours evaluates at a time.
        reference: images that a reference evaluates at a time; it is slow.
        decoded: images that one core decodes at a time.
        cached: images in the cache that a pass of the loader reads.
        passes: of the loader over them at a time.
        listed: images of the whole data set, which lists and metrics are made for.
        steps: of an epoch, with 128 images each.
        runs: numbers of images whose evaluation's memory is compared, rising.
    """

    repetitions: int = 3
    evaluated: int = 16
    reference: int = 8
    decoded: int = 64
    cached: int = 1536
    passes: int = 20
    listed: int = 112_120
    steps: int = 614
    runs: tuple[int, ...] = (100, 1000, 10_000)


class Data(NamedTuple):
    """A folder of images and a list of them."""

    data_dir: Path
    list_file: Path


class Material:
    """Radiographs and all that is made of them, each when it is first asked for.

    Args:
        folder: where to write.
        images: how many phantoms to draw, or how many radiographs of `data` to use at most.
        size: pixels a side of a phantom.
        preprocessing: of the checkpoint and the caches.
        data: real radiographs instead of phantoms.
    """

    def __init__(
        self, folder: Path, images: int, size: int, preprocessing: Preprocessing, data: Data | None = None
    ) -> None:
        self.folder = folder
        self.images = images
        self.size = size
        self.preprocessing = preprocessing
        self.given = data

    def repeated(self, count: int) -> Data:
        """`count` images: the radiographs in turn, under a new name each time."""
        data = Data(self.folder / f"images_{count}", self.folder / f"list_{count}.txt")
        if not data.list_file.exists():
            data.data_dir.mkdir()
            paths, labels = self._radiographs
            names = [f"{index:06d}{paths[index % len(paths)].suffix}" for index in range(count)]
            for index, name in enumerate(names):
                os.symlink(paths[index % len(paths)], data.data_dir / name)
            data.list_file.write_text(format_list(names, labels[np.arange(count) % len(paths)]))
        return data

    def cache(self, count: int) -> Path:
        """An image cache of `repeated(count)`."""
        folder = self.folder / f"cache_{count}"
        if not folder.exists():
            data = self.repeated(count)
            cache.build_cache(
                data.data_dir, read_list(data.list_file).names, folder, self.preprocessing, DEFAULT_WORKERS
            )
        return folder

    @cached_property
    def ckpt(self) -> Path:
        """A checkpoint with random weights: nothing here depends on what they are."""
        import paddle

        from chexnet.model import CheXNet

        paddle.seed(0)
        path = self.folder / "model.pdparams"
        checkpoint.save(CheXNet().state_dict(), path)
        checkpoint.write_metadata_file(path, {"resize": self.preprocessing.resize, "crop": self.preprocessing.crop})
        return path

    @cached_property
    def _radiographs(self) -> tuple[list[Path], np.ndarray]:
        if self.given:
            data_dir, lists = self.given.data_dir, [self.given.list_file]
        else:
            summary = make_dataset(self.folder / "phantoms", self.images, self.size, seed=0)
            data_dir, lists = summary.image_dir, list(summary.lists.values())
        parts = [read_list(path) for path in lists]
        paths = [(data_dir / name).resolve() for part in parts for name in part.names]
        return paths[: self.images], np.concatenate([part.labels for part in parts])[: self.images]
