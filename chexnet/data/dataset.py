"""A list file and its images."""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from chexnet.data import images
from chexnet.data.bad_images import SkippedImage
from chexnet.data.cache import ImageCache
from chexnet.data.images import survey
from chexnet.data.lists import ImageList, check_images, read_list
from chexnet.data.transforms import Preprocessing
from chexnet.device import paddle
from chexnet.errors import InputError
from chexnet.labels import N_CLASSES

CropMode = Literal["train", "center", "ten"]

Sample = tuple[np.ndarray, np.ndarray]
"""One image's crop(s), uint8 [1, crop, crop] or [10, 1, crop, crop], and labels, float32 [C]."""

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""A resized image, gray uint8 [h, w], and a random generator -> an image of the same kind, no smaller than a crop."""

EarlierTransform = Callable[[Image.Image], Any]
"""A transform of the earlier Paddle-CheXNet: PIL image, mode RGB -> input of the network."""


class ChestXrayDataSet(paddle.io.Dataset):
    """A list file and its images.

    The whole list is checked when the data set is made, before anything is decoded.

    The call of the earlier Paddle-CheXNet, `ChestXrayDataSet(data_dir=..., image_list_file=..., transform=...)`, works
    as well: a sample is then the result of `transform` for the PIL image, mode RGB, and the labels as a tensor. The
    images are read as gray, so their three channels are equal.

    Args:
        data_dir: folder of the images.
        list_file: see `chexnet.data.lists`.
        view: `train` one random crop, mirrored half of the time; `center` the middle crop; `ten` ten crops.
        preprocessing: sizes of resizing and cropping.
        seed: of the augmentation, which is a function of (seed, epoch, index) and of nothing else.
        n_classes: number of labels in a line of the list.
        image_cache: folder of an image cache (see `chexnet.data.cache`) to take the images from; nothing is
            decoded then, and the pixels are the same. `data_dir` need not exist; where it has an original
            that has changed since, that is an error.
        skipped: lines of the list to leave out, as `find_unusable` gave them now or when the run began. All
            else is as if they had never been in the list.
        image_list_file: the list file in a call of the earlier Paddle-CheXNet; without `transform` a sample is the PIL
            image itself.
        transform: with `list_file` and view `train`, an augmentation of the resized image before it is cropped. Its
            generator is a function of (seed, epoch, index), so that a resumed run repeats it; the image is read-only.
            Without view `train`, a transform of the earlier Paddle-CheXNet, which may also be the third argument.

    Raises:
        InputError: there is no list or there are two, the list is malformed, images are missing, the cache does not
            serve, or a skipped image does not stand where it did.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        list_file: str | os.PathLike[str] | None = None,
        view: CropMode | EarlierTransform = "center",
        preprocessing: Preprocessing | None = None,
        seed: int = 0,
        n_classes: int = N_CLASSES,
        image_cache: str | os.PathLike[str] | None = None,
        skipped: Sequence[SkippedImage] = (),
        image_list_file: str | os.PathLike[str] | None = None,
        transform: Augmentation | EarlierTransform | None = None,
    ) -> None:
        super().__init__()
        if (list_file is None) == (image_list_file is None):
            raise InputError("ChestXrayDataSet: list_file or image_list_file, expected one of them")
        transform, view = (view, "center") if callable(view) else (transform, view)
        augmented = view == "train" and list_file is not None
        self.as_pil = image_list_file is not None or (transform is not None and not augmented)
        self.transform: Any = transform
        list_file = list_file or image_list_file
        assert list_file is not None
        self.data_dir = Path(data_dir)
        self.skipped = tuple(skipped)
        self.view = view
        self.preprocessing = preprocessing or Preprocessing()
        self.seed = seed
        self.epoch = 0
        self.list = _without(read_list(list_file, n_classes), self.skipped)
        self.cache = None if image_cache is None else ImageCache(image_cache, self.preprocessing)
        if self.cache is None or self.as_pil:
            self.paths = check_images(self.list, self.data_dir)
        if self.cache is not None:
            self.rows = self.cache.rows(self.list.names, self.list.path, self.data_dir, self.list.lines)

    @property
    def source(self) -> str:
        """Path of the list file, for messages."""
        return str(self.list.path)

    @property
    def labels(self) -> np.ndarray:
        """Labels of all images, uint8 [N, C]."""
        return self.list.labels

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all images, as in the list."""
        return self.list.names

    def __len__(self) -> int:
        return len(self.list)

    def __getitem__(self, index: int) -> Sample | tuple[Any, paddle.Tensor]:
        """One image's crop(s), uint8 [1, crop, crop] or [10, 1, crop, crop], and labels, float32 [C].

        Raises:
            InputError: the image does not decode, or the augmentation returns something else than an image.
        """
        labels = self.list.labels[index].astype(np.float32)
        if self.as_pil:
            image = Image.fromarray(np.asarray(self._gray(index))).convert("RGB")
            return self.transform(image) if self.transform else image, paddle.to_tensor(labels)
        resized = self._resized(index)
        if self.view == "ten":
            return self.preprocessing.ten_crop(resized), labels
        if self.view == "center":
            return self.preprocessing.center_crop(resized), labels
        if self.transform:
            resized = self._augmented(resized, index)
        return self.preprocessing.train_crop(
            resized, augmentation_params(self.seed, self.epoch, len(self))[index]
        ), labels

    def range_warning(self, workers: int = 0) -> str | None:
        """Look at a few images, and return one line if their samples use less than half of their range.

        Args:
            workers: decoding threads, 0 for none.
        """
        if self.cache is None:
            warning = survey.survey(self.paths, self.preprocessing.sample_bits, workers)
        else:
            rows = (self.rows[place] for place in survey.survey_indices(len(self)))
            warning = images.range_warning([images.SampleRange(int(self.cache.image(row).max()), 255) for row in rows])
        return warning and f"{self.list.path}: {warning}"

    def _resized(self, index: int) -> np.ndarray:
        if self.cache is not None:
            return self.cache.image(self.rows[index])
        return self.preprocessing.resize_image(self._gray(index))

    def _augmented(self, resized: np.ndarray, index: int) -> np.ndarray:
        # The spawn key keeps this stream apart from those of `draws` and of the order, whose seeds have none.
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, self.epoch), spawn_key=(index,)))
        image = np.asarray(self.transform(resized, rng))
        if image.dtype != np.uint8 or image.ndim != 2 or min(image.shape) < self.preprocessing.crop:
            raise InputError(
                f"transform: made {image.dtype} {list(image.shape)} of image {self.names[index]}, expected uint8 "
                f"[height, width] of at least {self.preprocessing.crop} pixels each"
            )
        return image

    def _gray(self, index: int) -> Image.Image:
        try:
            return images.open_gray(self.paths[index], self.preprocessing.sample_bits)
        except InputError as error:
            raise InputError(f"{error}; replace the file, or leave it out: --on_bad_image skip") from error


def _without(whole: ImageList, skipped: Sequence[SkippedImage]) -> ImageList:
    for one in skipped:
        if whole.names[one.line - 1 : one.line] != (one.image,):
            raise InputError(f"{whole.path}:{one.line}: not {one.image}, which is to be left out: the list has changed")
    return whole.without({one.line for one in skipped}) if skipped else whole


@lru_cache(maxsize=4)
def augmentation_params(seed: int, epoch: int, count: int) -> np.ndarray:
    """What augments `count` images in an epoch, for `Preprocessing.train_crop`: read-only float64 [count, 3].

    Row i belongs to image i and is the same whatever `count` is.
    """
    drawn = np.random.default_rng((seed, epoch)).random((count, 3))
    drawn.flags.writeable = False
    return drawn
