"""Batches of a data set, made ahead by threads."""

import copy
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import numpy as np

from chexnet.data.dataset import ChestXrayDataSet, Sample
from chexnet.data.external import ExternalDataSet
from chexnet.device import is_gpu, to_device
from chexnet.prefetch import prefetch_map

Batch = tuple[np.ndarray, np.ndarray]
"""Images uint8 [B, 1, crop, crop] (ten crops: [B, 10, 1, crop, crop]) and labels float32 [B, C].

Images of an ExternalDataSet may also be float32 [B, 3, crop, crop]."""

DataSet = ChestXrayDataSet | ExternalDataSet
"""What batches are made of."""

PREFETCH_BATCHES = 2
"""Batches made while one is being computed on: enough to overlap, few enough to bound memory."""

CACHE_READERS = 2
"""Threads that copy crops out of a cache: two keep up with any device, more wait for each other."""


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

    def __init__(self, dataset: DataSet, batch_size: int, shuffle: bool, workers: int, upload: bool = False) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.workers = workers
        self.upload = upload
        self.start_batch = 0

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Chooses the order and the augmentation of epoch `epoch`, counted from 0.

        Args:
            epoch: of the passes that begin from now on.
            first_batch: where in the epoch they begin; the batches from there on are those of the whole epoch.
        """
        self.dataset.epoch = epoch
        self.start_batch = first_batch

    def order(self) -> np.ndarray:
        """The indices of the current epoch, int64 [N], in the order in which they are given out."""
        indices = np.arange(len(self.dataset))
        if self.shuffle:
            # NumPy pads seeds with zeros and N is at least 1, so this stream is not the one of `draws`.
            rng = np.random.default_rng((self.dataset.seed, self.dataset.epoch, len(self.dataset)))
            rng.shuffle(indices)
        return indices

    def names(self, batch: int) -> tuple[str, ...]:
        """The images of a batch of the current epoch in their order; batches count from 0, whatever the first is."""
        return tuple(self.dataset.names[index] for index in self._batches()[batch])

    def __iter__(self) -> Iterator[Batch]:
        batches = self._batches()[self.start_batch :]
        # Threads read ahead of a copy: another `set_epoch` changes nothing in a pass that has begun.
        read = _read(copy.copy(self.dataset), batches, self.workers)
        return prefetch_map(_uploaded, read, workers=1, buffer_size=1) if self.upload and is_gpu() else read

    def _batches(self) -> list[list[int]]:
        """The indices of each batch of the current epoch."""
        order = self.order().tolist()
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]


def _read(dataset: DataSet, batches: list[list[int]], workers: int) -> Iterator[Batch]:
    """The batches in order: a thread copies a whole one out of a cache, or decodes one image of it."""
    if dataset.cache is not None:
        yield from prefetch_map(
            lambda batch: _stack([dataset[index] for index in batch]),
            batches,
            min(workers, CACHE_READERS),
            PREFETCH_BATCHES,
        )
        return
    indices = [index for batch in batches for index in batch]
    depth = PREFETCH_BATCHES * max(map(len, batches), default=0)
    with closing(prefetch_map(dataset.__getitem__, indices, workers, depth)) as samples:
        for batch in batches:
            yield _stack(list(islice(samples, len(batch))))


def _stack(samples: list[Sample]) -> Batch:
    crops, labels = zip(*samples, strict=True)
    return np.stack(crops), np.stack(labels)


def _uploaded(batch: Batch) -> Batch:
    images, labels = batch
    return to_device(images), labels
