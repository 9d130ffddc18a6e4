"""ChestX-ray14 as a data set, and batches of it."""

import copy
import os
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from paddle.io import Dataset

from chexnet import images
from chexnet.cache import ImageCache
from chexnet.device import is_gpu, upload
from chexnet.labels import N_CLASSES
from chexnet.lists import check_images, read_list
from chexnet.threads import ahead
from chexnet.transforms import Preprocessing

View = Literal["train", "center", "ten"]

Batch = tuple[np.ndarray, np.ndarray]
"""Images uint8 [B, 1, crop, crop] (ten crops: [B, 10, 1, crop, crop]) and labels float32 [B, C]."""

BATCHES_AHEAD = 2
"""Batches made while one is being computed on: enough to overlap, few enough to bound memory."""

CACHE_READERS = 2
"""Threads that copy crops out of a cache: two keep up with any device, more wait for each other."""


class ChestXrayDataSet(Dataset):
    """A list file and its images.

    The whole list is checked when the data set is made, before anything is decoded.

    Args:
        data_dir: folder of the images.
        list_file: see `chexnet.lists`.
        view: `train` one random crop, mirrored half of the time; `center` the middle crop; `ten` ten crops.
        preprocessing: sizes of resizing and cropping.
        seed: of the augmentation, which is a function of (seed, epoch, index) and of nothing else.
        n_classes: number of labels in a line of the list.
        image_cache: folder of an image cache (see `chexnet.cache`) to take the images from; nothing is
            decoded then, and the pixels are the same. `data_dir` need not exist; where it has an original
            that has changed since, that is an error.

    Raises:
        InputError: the list is malformed, images are missing, or the cache does not serve.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        list_file: str | os.PathLike[str],
        view: View = "center",
        preprocessing: Preprocessing | None = None,
        seed: int = 0,
        n_classes: int = N_CLASSES,
        image_cache: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self.data_dir = Path(data_dir)
        self.list = read_list(list_file, n_classes)
        self.view = view
        self.preprocessing = preprocessing or Preprocessing()
        self.seed = seed
        self.epoch = 0
        self.cache = None if image_cache is None else ImageCache(image_cache, self.preprocessing)
        if self.cache is None:
            check_images(self.list, data_dir)
        else:
            self.rows = self.cache.rows(self.list.names, self.list.path, self.data_dir)

    def __len__(self) -> int:
        return len(self.list)

    def __getitem__(self, index: int) -> Batch:
        """One image's crop(s), uint8 [1, crop, crop] or [10, 1, crop, crop], and labels, float32 [C].

        Raises:
            InputError: the image does not decode.
        """
        resized = self._resized(index)
        labels = self.list.labels[index].astype(np.float32)
        if self.view == "ten":
            return self.preprocessing.ten_crop(resized), labels
        if self.view == "center":
            return self.preprocessing.center_crop(resized), labels
        return self.preprocessing.train_crop(resized, draws(self.seed, self.epoch, len(self))[index]), labels

    def _resized(self, index: int) -> np.ndarray:
        if self.cache is not None:
            return self.cache.image(self.rows[index])
        return self.preprocessing.resized(images.open_gray(self.data_dir / self.list.names[index]))


@lru_cache(maxsize=4)
def draws(seed: int, epoch: int, count: int) -> np.ndarray:
    """What augments `count` images in an epoch, for `Preprocessing.train_crop`: read-only float64 [count, 3].

    Row i belongs to image i and is the same whatever `count` is.
    """
    drawn = np.random.default_rng((seed, epoch)).random((count, 3))
    drawn.flags.writeable = False
    return drawn


class BatchLoader:
    """Batches of a data set, made ahead by threads.

    Threads serve here because decoding, resizing and copying release Python's lock; an exception in one
    reaches the caller as it is. (Paddle's own DataLoader hangs or hides it, see docs/architecture.md.)

    Args:
        dataset: what to read; its `epoch` is set by `set_epoch`.
        batch_size: images a batch; the last one may be smaller.
        shuffle: a new order each epoch, a function of (seed, epoch) of the data set.
        workers: threads that decode images, or at most CACHE_READERS that copy batches out of a cache;
            0 does either in the caller's.
        upload: whether the images go to Paddle's device, whose copying begins while the batch before is
            computed on. On the CPU that changes nothing.
    """

    def __init__(
        self, dataset: ChestXrayDataSet, batch_size: int, shuffle: bool, workers: int, upload: bool = False
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.workers = workers
        self.upload = upload

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order and the augmentation of epoch `epoch`, counted from 0."""
        self.dataset.epoch = epoch

    def order(self) -> np.ndarray:
        """The indices of the current epoch, int64 [N], in the order in which they are given out."""
        indices = np.arange(len(self.dataset))
        if self.shuffle:
            # NumPy pads seeds with zeros and N is at least 1, so this stream is not the one of `draws`.
            rng = np.random.default_rng((self.dataset.seed, self.dataset.epoch, len(self.dataset)))
            rng.shuffle(indices)
        return indices

    def __iter__(self) -> Iterator[Batch]:
        order = self.order().tolist()
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        # Threads read ahead of a copy: another `set_epoch` changes nothing in a pass that has begun.
        read = _read(copy.copy(self.dataset), batches, self.workers)
        return ahead(_uploaded, read, workers=1, depth=1) if self.upload and is_gpu() else read


def _read(dataset: ChestXrayDataSet, batches: list[list[int]], workers: int) -> Iterator[Batch]:
    """The batches in order: a thread copies a whole one out of a cache, or decodes one image of it."""
    if dataset.cache is not None:
        yield from ahead(
            lambda batch: _stack([dataset[index] for index in batch]),
            batches,
            min(workers, CACHE_READERS),
            BATCHES_AHEAD,
        )
        return
    indices = [index for batch in batches for index in batch]
    depth = BATCHES_AHEAD * max(map(len, batches), default=0)
    with closing(ahead(dataset.__getitem__, indices, workers, depth)) as samples:
        for batch in batches:
            yield _stack(list(islice(samples, len(batch))))


def _stack(samples: list[Batch]) -> Batch:
    crops, labels = zip(*samples, strict=True)
    return np.stack(crops), np.stack(labels)


def _uploaded(batch: Batch) -> Batch:
    images, labels = batch
    return upload(images), labels
