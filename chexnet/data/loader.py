"""Batches of a data set, prefetched by threads."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

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

    def __iter__(self) -> Iterator[Any]:
        read = self._read(self._batches()[self.start_batch :])
        return prefetch_map(_copy_to_device, read, workers=1, buffer_size=1) if self.to_device and is_gpu() else read

    def _read(self, batches: list[list[int]]) -> Iterator[Any]:
        # The pass reads a copy of the data set, so that `set_epoch` does not change a pass that has begun.
        return _read(copy.copy(self.dataset), batches, self.workers)

    def _batches(self) -> list[list[int]]:
        """Return the image indices of each batch of the current epoch."""
        order = self.order().tolist()
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]


class PieceLoader(BatchLoader):
    """The pieces of this process of every batch, for training in several processes.

    Every batch is cut, in order, into parts of one size, and every part into pieces of one size, one for each process.
    The last batch may end within a part. Then the pieces in this part are as long as the first one, and where one of
    them has fewer images, its last image (if it has none, the last one of the batch) is repeated; it must not count.

    A pass yields images and labels like `BatchLoader`, the parts one after another, and the sizes of the parts,
    int64 [parts, 3]: the images of this process that count, those it was given, those of all processes that count.

    Args:
        dataset: the data set.
        batch_size: images per batch of all processes together, divisible by `processes * parts`.
        shuffle: as for `BatchLoader`.
        workers: as for `BatchLoader`.
        rank: number of this process, from 0.
        processes: number of processes.
        parts: parts per batch.

    Attributes:
        failure: error of reading an image, or None. Of several processes, one that ends in the middle of a step aborts
            the others. It therefore continues with black images until all of them end after the same step.
    """

    def __init__(
        self,
        dataset: DataSet,
        batch_size: int,
        shuffle: bool,
        workers: int,
        rank: int = 0,
        processes: int = 1,
        parts: int = 1,
    ) -> None:
        super().__init__(dataset, batch_size, shuffle, workers, to_device=True)
        self.rank = rank
        self.processes = processes
        self.failure: Exception | None = None
        self.part_size = batch_size // parts
        self.piece_size = self.part_size // processes

    def size(self, batch: int) -> int:
        """Return the number of images in a batch of all processes."""
        return min(self.batch_size, len(self.dataset) - batch * self.batch_size)

    def _read(self, batches: list[list[int]]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        parts = [[batch[at : at + self.part_size] for at in range(0, len(batch), self.part_size)] for batch in batches]
        pieces = [[self._piece(part) or part[-1:] for part in batch] for batch in parts]
        read = super()._read([[index for piece in batch for index in piece] for batch in pieces])
        for whole, own in zip(parts, pieces, strict=True):
            images, labels = self._next(read, sum(map(len, own)))
            sizes = [(len(self._piece(part)), min(self.piece_size, len(part)), len(part)) for part in whole]
            rows = _repeated_rows([len(piece) for piece in own], [given for _, given, _ in sizes])
            if len(rows) > len(images):
                images, labels = images[rows], labels[rows]
            yield images, labels, np.array(sizes)

    def _next(self, read: Iterator[Batch], count: int) -> Batch:
        try:
            if self.failure is None:
                return next(read)
        except Exception as error:
            if self.processes == 1:
                raise
            self.failure = error
        crop = self.dataset.crop
        return np.zeros((count, 1, crop, crop), np.uint8), np.zeros((count, self.dataset.labels.shape[1]), np.float32)

    def _piece(self, part: list[int]) -> list[int]:
        return part[self.rank * self.piece_size : (self.rank + 1) * self.piece_size]


def _repeated_rows(lengths: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Return the rows of concatenated pieces that give each its wanted length by repeating its last row."""
    ends = np.cumsum(lengths)
    return [
        min(end - length + row, end - 1)
        for end, length, count in zip(ends.tolist(), lengths, wanted, strict=True)
        for row in range(count)
    ]


def _read(dataset: DataSet, batches: list[list[int]], workers: int) -> Iterator[Batch]:
    """Yield the batches in order. The unit of work of a thread is a whole batch with a cache, one image without."""
    if dataset.cache is not None:
        yield from prefetch_map(
            lambda batch: _stack([dataset[index] for index in batch]),
            batches,
            min(workers, CACHE_READERS),
            PREFETCH_BATCHES,
        )
        return
    indices = [index for batch in batches for index in batch]
    buffer_size = PREFETCH_BATCHES * max(map(len, batches), default=0)
    with closing(prefetch_map(dataset.__getitem__, indices, workers, buffer_size)) as samples:
        for batch in batches:
            yield _stack(list(islice(samples, len(batch))))


def _stack(samples: list[Sample]) -> Batch:
    crops, labels = zip(*samples, strict=True)
    return np.stack(crops), np.stack(labels)


def _copy_to_device(batch: Sequence[Any]) -> tuple[Any, ...]:
    images, *others = batch
    return to_device(images), *others
