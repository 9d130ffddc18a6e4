"""The data set of a list file and its images."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from chexnet import device
from chexnet.config import AUGMENTATIONS
from chexnet.data import images
from chexnet.data.augmentation import N_RANDOM, augment, augmentation_params
from chexnet.data.bad_images import SkippedImage
from chexnet.data.cache import ImageCache
from chexnet.data.images import survey
from chexnet.data.lists import ImageList, check_images, read_list
from chexnet.data.transforms import Preprocessing
from chexnet.errors import InputError
from chexnet.labels import N_CLASSES

if TYPE_CHECKING:
    from chexnet.device import paddle

CropMode = Literal["train", "center", "ten", "dense"]

Sample = tuple[np.ndarray, np.ndarray]
"""The crop(s) of an image, uint8 [1, crop, crop] or [10, 1, crop, crop], and its labels, float32 [C].

For dense evaluation, the whole image and its mirror image, uint8 [2, 1, h, w]."""

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Maps a resized image, gray uint8 [h, w], and a random generator to a gray uint8 image at least as large as a crop."""

EarlierTransform = Callable[[Image.Image], Any]
"""A transform of the earlier Paddle-CheXNet: maps a PIL image, mode RGB, to the network's input."""


class ListDataSet:
    """The images and labels of a list file. Needs no Paddle; `ChestXrayDataSet` is the same as a Paddle data set.

    The constructor checks the whole list. Images are decoded when samples are read.

    The call of the earlier Paddle-CheXNet, `ChestXrayDataSet(data_dir=..., image_list_file=..., transform=...)`, also
    works. A sample is then the result of `transform` for the PIL image, mode RGB, and the labels as a tensor. The
    images are read as gray, so their three channels are equal.

    Args:
        data_dir: folder of the images.
        list_file: list of images and labels, see `chexnet.data.lists`.
        crop_mode: `train` for one random crop, see `augmentation`; `center` for the center crop; `ten` for ten crops;
            `dense` for the whole image and its mirror image, which have the image's own size, so
            that `BatchLoader` takes them only from images of one size.
        preprocessing: image sizes; None for the defaults.
        seed: random seed. The augmentation depends only on (seed, epoch, index).
        n_classes: labels per line of the list.
        image_cache: folder of an image cache, see `chexnet.data.cache`. Nothing is decoded then, and the pixels are
            the same. `data_dir` may be missing, but an original that has changed since is an error.
        skipped: images of the list to leave out, from `find_bad_images`. The data set is the same as if they had never
            been in the list.
        image_list_file: list file in a call of the earlier Paddle-CheXNet. Without `transform`, a sample contains the
            PIL image itself.
        transform: with `list_file` and crop mode `train`, an augmentation of the resized, read-only image before the
            crop. Its generator depends only on (seed, epoch, index), so a resumed run repeats it. Otherwise, a
            transform of the earlier Paddle-CheXNet, which may also be passed as the third argument.
        augmentation: with crop mode `train`, one of `chexnet.config.AUGMENTATIONS`, see `chexnet.data.augmentation`.
        flip: with crop mode `train`, whether crops are flipped left to right with probability 0.5.

    Raises:
        InputError: there is no list or there are two, the list is malformed, images are missing, the cache does not
            match, or a skipped image is not in its line of the list.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        list_file: str | os.PathLike[str] | None = None,
        crop_mode: CropMode | EarlierTransform = "center",
        preprocessing: Preprocessing | None = None,
        seed: int = 0,
        n_classes: int = N_CLASSES,
        image_cache: str | os.PathLike[str] | None = None,
        skipped: Sequence[SkippedImage] = (),
        image_list_file: str | os.PathLike[str] | None = None,
        transform: Augmentation | EarlierTransform | None = None,
        augmentation: str = AUGMENTATIONS[0],
        flip: bool = True,
    ) -> None:
        super().__init__()
        if (list_file is None) == (image_list_file is None):
            raise InputError("ChestXrayDataSet: expected either list_file or image_list_file")
        if augmentation not in AUGMENTATIONS:
            raise InputError(f"augmentation is {augmentation!r}, expected one of {', '.join(AUGMENTATIONS)}")
        transform, crop_mode = (crop_mode, "center") if callable(crop_mode) else (transform, crop_mode)
        augmented = crop_mode == "train" and list_file is not None
        self.as_pil = image_list_file is not None or (transform is not None and not augmented)
        self.transform: Any = transform
        list_file = list_file or image_list_file
        assert list_file is not None
        self.data_dir = Path(data_dir)
        self.skipped = tuple(skipped)
        self.crop_mode = crop_mode
        self.preprocessing = preprocessing or Preprocessing()
        self.seed = seed
        self.augmentation = augmentation
        self.flip = flip
        self.epoch = 0
        self.list = _without(read_list(list_file, n_classes), self.skipped)
        self.cache = None if image_cache is None else ImageCache(image_cache, self.preprocessing)
        if self.cache is None or self.as_pil:
            self.paths = check_images(self.list, self.data_dir)
        if self.cache is not None:
            self.rows = self.cache.rows(self.list.names, self.list.path, self.data_dir, self.list.lines)

    @property
    def source(self) -> str:
        """Path of the list file, for use in messages."""
        return str(self.list.path)

    @property
    def crop(self) -> int:
        """Side of the crops, pixels."""
        return self.preprocessing.crop

    @property
    def labels(self) -> np.ndarray:
        """Labels of all images, uint8 [N, C]."""
        return self.list.labels

    @property
    def names(self) -> Sequence[str]:
        """Names of all images in the list's order."""
        return self.list.names

    def __len__(self) -> int:
        return len(self.list)

    def __getitem__(self, index: int) -> "Sample | tuple[Any, paddle.Tensor]":
        """Return the crop(s) of an image and its labels, see `Sample`.

        Raises:
            InputError: the image does not decode, or the augmentation does not return a suitable image.
        """
        labels = self.list.labels[index].astype(np.float32)
        if self.as_pil:
            image = Image.fromarray(np.asarray(self._gray(index))).convert("RGB")
            return self.transform(image) if self.transform else image, device.paddle.to_tensor(labels)
        resized = self._resized(index)
        if self.crop_mode == "ten":
            return self.preprocessing.ten_crop(resized), labels
        if self.crop_mode == "dense":
            return self.preprocessing.mirror_pair(resized), labels
        if self.crop_mode == "center":
            return self.preprocessing.center_crop(resized), labels
        if self.transform:
            resized = self._augment(resized, index)
        u = augmentation_params(self.seed, self.epoch, len(self), N_RANDOM[self.augmentation])[index]
        return augment(self.augmentation, resized, self.preprocessing.crop, u, self.flip), labels

    def range_warning(self, workers: int = 0) -> str | None:
        """Check a few images and return a one-line warning if they use less than half of their value range.

        Args:
            workers: decoding threads, 0 for none.
        """
        if self.cache is None:
            warning = survey.survey(self.paths, self.preprocessing.sample_bits, workers)
        else:
            rows = (self.rows[index] for index in survey.survey_indices(len(self)))
            warning = images.range_warning([images.SampleRange(int(self.cache.image(row).max()), 255) for row in rows])
        return warning and f"{self.list.path}: {warning}"

    def _resized(self, index: int) -> np.ndarray:
        if self.cache is not None:
            return self.cache.image(self.rows[index])
        return self.preprocessing.resize_image(self._gray(index))

    def _augment(self, resized: np.ndarray, index: int) -> np.ndarray:
        # `augmentation_params` and the shuffled order are seeded without a spawn key: these streams are independent.
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, self.epoch), spawn_key=(index,)))
        image = np.asarray(self.transform(resized, rng))
        if image.dtype != np.uint8 or image.ndim != 2 or min(image.shape) < self.preprocessing.crop:
            raise InputError(
                f"transform: returned {image.dtype} {list(image.shape)} for image {self.names[index]}, expected uint8 "
                f"[height, width] of at least {self.preprocessing.crop} pixels each"
            )
        return image

    def _gray(self, index: int) -> Image.Image:
        try:
            return images.open_gray(self.paths[index], self.preprocessing.sample_bits)
        except InputError as error:
            raise InputError(f"{error}; replace the file, or leave it out: --on_bad_image skip") from error


def _without(image_list: ImageList, skipped: Sequence[SkippedImage]) -> ImageList:
    for image in skipped:
        if image_list.names[image.line - 1 : image.line] != (image.image,):
            raise InputError(
                f"{image_list.path}:{image.line}: expected {image.image}, which is to be left out; the list has changed"
            )
    return image_list.without({image.line for image in skipped}) if skipped else image_list
