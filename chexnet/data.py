"""ChestX-ray14 as a data set, and batches of it."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from paddle.io import Dataset

from chexnet import images
from chexnet.labels import N_CLASSES
from chexnet.lists import check_images, read_list
from chexnet.transforms import Preprocessing

View = Literal["train", "center", "ten"]

Batch = tuple[np.ndarray, np.ndarray]
"""Images uint8 [B, 1, crop, crop] (ten crops: [B, 10, 1, crop, crop]) and labels float32 [B, C]."""

BATCHES_AHEAD = 2
"""Batches decoded while one is being computed on: enough to overlap, few enough to bound memory."""


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

    Raises:
        InputError: the list is malformed or images are missing.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        list_file: str | os.PathLike[str],
        view: View = "center",
        preprocessing: Preprocessing | None = None,
        seed: int = 0,
        n_classes: int = N_CLASSES,
    ) -> None:
        super().__init__()
        self.data_dir = Path(data_dir)
        self.list = read_list(list_file, n_classes)
        check_images(self.list, data_dir)
        self.view = view
        self.preprocessing = preprocessing or Preprocessing()
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.list)

    def __getitem__(self, index: int) -> Batch:
        """One image's crop(s), uint8 [1, crop, crop] or [10, 1, crop, crop], and labels, float32 [C].

        Raises:
            InputError: the image does not decode.
        """
        gray = images.read(self.data_dir / self.list.names[index])
        resized = self.preprocessing.resized(gray)
        labels = self.list.labels[index].astype(np.float32)
        if self.view == "ten":
            return self.preprocessing.ten_crop(resized), labels
        if self.view == "center":
            return self.preprocessing.center_crop(resized), labels
        rng = np.random.default_rng((self.seed, self.epoch, index))
        return self.preprocessing.train_crop(resized, rng), labels


class BatchLoader:
    """Batches of a data set, decoded ahead by threads.

    Threads serve here because decoding and resizing release Python's lock; an exception in one reaches the
    caller as it is. (Paddle's own DataLoader hangs or hides it, see docs/architecture.md.)

    Args:
        dataset: what to read; its `epoch` is set by `set_epoch`.
        batch_size: images a batch; the last one may be smaller.
        shuffle: a new order each epoch, a function of (seed, epoch) of the data set.
        workers: decoding threads; 0 decodes in the caller's.
    """

    def __init__(self, dataset: ChestXrayDataSet, batch_size: int, shuffle: bool, workers: int) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.workers = workers

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order and the augmentation of epoch `epoch`, counted from 0."""
        self.dataset.epoch = epoch

    def order(self) -> np.ndarray:
        """The indices of the current epoch, int64 [N], in the order in which they are given out."""
        indices = np.arange(len(self.dataset))
        if self.shuffle:
            # N is no image's index, so this stream is none of those that augment.
            rng = np.random.default_rng((self.dataset.seed, self.dataset.epoch, len(self.dataset)))
            rng.shuffle(indices)
        return indices

    def __iter__(self) -> Iterator[Batch]:
        order = self.order()
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        if self.workers == 0:
            yield from (_stack([self.dataset[int(index)] for index in batch]) for batch in batches)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            yield from _ahead(pool, self.dataset.__getitem__, batches)


def _ahead(pool: ThreadPoolExecutor, read: Callable[[int], Batch], batches: list[np.ndarray]) -> Iterator[Batch]:
    pending: deque[list[Future[Batch]]] = deque()
    try:
        for batch in batches:
            pending.append([pool.submit(read, int(index)) for index in batch])
            if len(pending) > BATCHES_AHEAD:
                yield _stack([future.result() for future in pending.popleft()])
        while pending:
            yield _stack([future.result() for future in pending.popleft()])
    finally:
        pool.shutdown(cancel_futures=True)


def _stack(samples: list[Batch]) -> Batch:
    crops, labels = zip(*samples, strict=True)
    return np.stack(crops), np.stack(labels)
