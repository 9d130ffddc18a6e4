"""Batches of a data set, prefetched by threads."""

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
"""The data sets that `BatchLoader` reads."""

PREFETCH_BATCHES = 2
"""Batches to load ahead: enough to overlap with computation, few enough to bound memory."""

CACHE_READERS = 2
"""Maximum number of threads that read a cache: two keep up with any device, more only wait for each other."""


class BatchLoader:
    """Batches of a data set, prefetched by threads.

    Threads are enough, because decoding, resizing and copying release Python's global interpreter lock. An exception
    in a thread is raised to the caller unchanged. (Paddle's own DataLoader hangs or hides it, see
    docs/architecture.md.)

    Args:
        dataset: the data set. `set_epoch` sets its `epoch`.
        batch_size: images per batch; the last batch may be smaller.
        shuffle: use a new order in each epoch, which depends only on (seed, epoch) of the data set.
        workers: threads that decode images. At most CACHE_READERS of them read from a cache. With 0, everything runs
            in the calling thread.
        to_device: copy the images to Paddle's GPU ahead of their use. On the CPU this has no effect.
    """

    def __init__(self, dataset: DataSet, batch_size: int, shuffle: bool, workers: int, to_device: bool = False) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.workers = workers
        self.to_device = to_device
        self.start_batch = 0

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Select the epoch of the next passes, and with it their order and augmentation.

        Args:
            epoch: index of the epoch, from 0.
            start_batch: index of the first batch of the passes. Batches do not depend on it.
        """
        self.dataset.epoch = epoch
        self.start_batch = start_batch

    def order(self) -> np.ndarray:
        """Return the indices of the images in the order of the current epoch, int64 [N]."""
        indices = np.arange(len(self.dataset))
        if self.shuffle:
            # NumPy pads seeds with zeros and N >= 1, so this stream differs from that of `augmentation_params`.
            rng = np.random.default_rng((self.dataset.seed, self.dataset.epoch, len(self.dataset)))
            rng.shuffle(indices)
        return indices

    def names(self, batch: int) -> tuple[str, ...]:
        """Return the image names of a batch of the current epoch; batch 0 is the first of the whole epoch."""
        return tuple(self.dataset.names[index] for index in self._batches()[batch])

    def __iter__(self) -> Iterator[Batch]:
        batches = self._batches()[self.start_batch :]
        # The pass reads a copy of the data set, so that `set_epoch` does not change a pass that has begun.
        read = _read(copy.copy(self.dataset), batches, self.workers)
        return prefetch_map(_copy_to_device, read, workers=1, buffer_size=1) if self.to_device and is_gpu() else read

    def _batches(self) -> list[np.ndarray]:
        """Return the image indices of each batch of the current epoch, views of one int64 [N]."""
        order = self.order()
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]


def _read(dataset: DataSet, batches: list[np.ndarray], workers: int) -> Iterator[Batch]:
    """Yield the batches in order. The unit of work of a thread is a whole batch with a cache, one image without."""
    if dataset.cache is not None:
        yield from prefetch_map(
            lambda batch: _stack([dataset[index] for index in batch.tolist()]),
            batches,
            min(workers, CACHE_READERS),
            PREFETCH_BATCHES,
        )
        return
    indices = (index for batch in batches for index in batch.tolist())
    buffer_size = PREFETCH_BATCHES * max(map(len, batches), default=0)
    with closing(prefetch_map(dataset.__getitem__, indices, workers, buffer_size)) as samples:
        for batch in batches:
            yield _stack(list(islice(samples, len(batch))))


def _stack(samples: list[Sample]) -> Batch:
    crops, labels = zip(*samples, strict=True)
    return np.stack(crops), np.stack(labels)


def _copy_to_device(batch: Batch) -> Batch:
    images, labels = batch
    return to_device(images), labels
