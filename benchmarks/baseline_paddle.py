"""Baseline in Paddle: PIL to RGB, paddle.vision.transforms per image, the network in eager mode, one process."""

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import paddle
from paddle.vision import transforms as T
from PIL import Image

from benchmarks.baseline import aurocs, read_lines, ten_crop
from benchmarks.benchmark_data import ListedImages
from chexnet import device, model
from chexnet.data.transforms import MEAN, STD, Preprocessing
from chexnet.model import CheXNet

Transform = Callable[[Image.Image], paddle.Tensor]


class Images(paddle.io.Dataset):
    """The images of a list file, each transformed from RGB, and their labels."""

    def __init__(self, listed: ListedImages, transform: Transform) -> None:
        super().__init__()
        self.data_dir = listed.data_dir
        self.names, self.labels = read_lines(listed.list_file)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[paddle.Tensor, np.ndarray]:
        image = Image.open(self.data_dir / self.names[index]).convert("RGB")
        return self.transform(image), np.array(self.labels[index], dtype="float32")


def center_transform(preprocessing: Preprocessing) -> Transform:
    """Return the transform to the center crop, float32 [3, crop, crop]."""
    return T.Compose(
        [T.Resize(preprocessing.resize), T.CenterCrop(preprocessing.crop), T.ToTensor(), T.Normalize(MEAN, STD)]
    )


def ten_transform(preprocessing: Preprocessing) -> Transform:
    """Return the transform to ten crops, float32 [10, 3, crop, crop], each normalized separately."""
    resize, to_tensor, normalize = T.Resize(preprocessing.resize), T.ToTensor(), T.Normalize(MEAN, STD)
    return lambda image: paddle.stack(
        [normalize(to_tensor(crop)) for crop in ten_crop(resize(image), preprocessing.crop)]
    )


def train_transform(preprocessing: Preprocessing) -> Transform:
    """Return the transform to a random crop, flipped half of the time, float32 [3, crop, crop]."""
    return T.Compose(
        [
            T.Resize(preprocessing.resize),
            T.RandomCrop(preprocessing.crop),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(MEAN, STD),
        ]
    )


def evaluate(
    network: CheXNet, listed: ListedImages, transform: Transform, batch_size: int
) -> tuple[np.ndarray, list[float]]:
    """Return probabilities float32 [N, C], averaged over the crops of an image, and the AUROC of each class."""
    network.eval()
    labels, probabilities = [], []
    with paddle.no_grad():
        for images, truth in paddle.io.DataLoader(Images(listed, transform), batch_size=batch_size, num_workers=0):
            outputs = network(images.reshape([-1, *images.shape[-3:]]))  # [B * crops, 3, crop, crop] -> [B * crops, C]
            probabilities.append(outputs.reshape([len(images), -1, outputs.shape[-1]]).mean(axis=1).numpy())
            labels.append(truth.numpy())
    scores = np.concatenate(probabilities)
    return scores, aurocs(np.concatenate(labels), scores)


def images_per_second(
    ckpt: Path, listed: ListedImages, preprocessing: Preprocessing, batch_size: int, crops: int
) -> float:
    """Evaluate on the CPU with one or ten crops and return the rate. Loading the network, once per process, is free."""
    network = _load(ckpt)
    transform = ten_transform(preprocessing) if crops == 10 else center_transform(preprocessing)
    started = time.perf_counter()
    scores, _ = evaluate(network, listed, transform, batch_size)
    return len(scores) / (time.perf_counter() - started)


@lru_cache(maxsize=1)
def _load(ckpt: Path) -> CheXNet:
    device.set_device("cpu")
    return model.load(ckpt)


def training_input(listed: ListedImages, preprocessing: Preprocessing, batch_size: int) -> int:
    """Load all batches of an epoch and return the number of images."""
    loader = paddle.io.DataLoader(
        Images(listed, train_transform(preprocessing)), batch_size=batch_size, shuffle=True, num_workers=0
    )
    return sum(len(images) for images, _ in loader)
