"""Adapter for data sets that users write themselves."""

import hashlib
from typing import Any, Protocol

import numpy as np

from chexnet.data.dataset import Sample
from chexnet.errors import InputError


class LabeledImages(Protocol):
    """The interface that a data set must have for training.

    A sample is an image and its labels. The image is uint8 [1, crop, crop], gray, or float32 [3, crop, crop],
    normalized; the labels are [C], 0 or 1. Samples are read by several threads at once.

    Two more attributes are optional. `names`, the name of each image, is used in error messages and in the fingerprint
    that finds training images among test images. `epoch` is set before each pass over the training images, so that an
    augmentation can depend on it.
    """

    @property
    def labels(self) -> Any:
        """The labels of all images, [N, C], 0 or 1."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int) -> Any:
        """Return the image and the labels of one sample."""


class ExternalDataSet:
    """A checked wrapper of a `LabeledImages` data set, for training and `BatchLoader`.

    Args:
        dataset: the data set.
        source: its name in messages.
        n_classes: number of classes, C.
        crop: side of the images, pixels.
        seed: random seed for shuffling.

    Raises:
        InputError: there are no images, the labels are not 0 or 1, or the first sample has another shape or dtype.
    """

    cache = None
    skipped = ()

    def __init__(self, dataset: LabeledImages, source: str, n_classes: int, crop: int, seed: int) -> None:
        self.dataset = dataset
        self.source = source
        self.crop = crop
        self.seed = seed
        self.labels = np.asarray(dataset.labels)
        if len(dataset) == 0 or self.labels.shape != (len(dataset), n_classes):
            raise InputError(
                f"{source}: has {len(dataset)} images and labels of shape {list(self.labels.shape)}, expected at least "
                f"one image and labels [images, {n_classes}]; --classes FILE names other classes than the 14"
            )
        if not np.isin(self.labels, (0, 1)).all():
            raise InputError(f"{source}: has labels other than 0 and 1")
        names: Any = getattr(dataset, "names", None)
        self.has_names = names is not None
        self.names = tuple(map(str, names if self.has_names else (f"#{index}" for index in range(len(dataset)))))
        if len(self.names) != len(dataset):
            raise InputError(f"{source}: has {len(dataset)} images and {len(self.names)} names")
        self.epoch = 0
        _ = self[0]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return one image, uint8 [1, crop, crop] or float32 [3, crop, crop], and its labels, float32 [C].

        Raises:
            InputError: the sample has another shape or dtype, or its labels differ from `labels`.
        """
        image, labels = (np.asarray(part) for part in self.dataset[index])
        kinds = {("uint8", (1, self.crop, self.crop)), ("float32", (3, self.crop, self.crop))}
        if (str(image.dtype), image.shape) not in kinds:
            raise InputError(
                f"{self.source}: image {self.names[index]} is {image.dtype} {list(image.shape)}, expected uint8 "
                f"[1, {self.crop}, {self.crop}] or float32 [3, {self.crop}, {self.crop}]; --crop sets the size"
            )
        if not np.array_equal(labels, self.labels[index]):
            raise InputError(f"{self.source}: the sample of image {self.names[index]} and `labels` differ in labels")
        return image, labels.astype(np.float32)

    @property
    def epoch(self) -> int:
        """Epoch of the next samples, from 0."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        if hasattr(self.dataset, "epoch"):
            self.dataset.epoch = epoch

    def sha256(self) -> str:
        """Return the SHA-256 of the labels and names, in hexadecimal. Pixels are not part of it."""
        digest = hashlib.sha256(np.ascontiguousarray(self.labels, dtype=np.uint8).tobytes())
        digest.update("\n".join(self.names).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
