"""The reference in Paddle: PIL to RGB, paddle.vision.transforms image by image, the eager network, one process."""

from collections.abc import Callable

import numpy as np
import paddle
from paddle.vision import transforms as T
from PIL import Image

from benchmarks.material import Data
from benchmarks.naive import aurocs, read_lines, ten_crop
from chexnet.data.transforms import MEAN, STD, Preprocessing
from chexnet.model import CheXNet

Transform = Callable[[Image.Image], paddle.Tensor]


class Images(paddle.io.Dataset):
    """A list file; what `transform` makes of an image as RGB, and its labels."""

    def __init__(self, data: Data, transform: Transform) -> None:
        super().__init__()
        self.data_dir = data.data_dir
        self.names, self.labels = read_lines(data.list_file)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[paddle.Tensor, np.ndarray]:
        image = Image.open(self.data_dir / self.names[index]).convert("RGB")
        return self.transform(image), np.array(self.labels[index], dtype="float32")


def center_transform(sizes: Preprocessing) -> Transform:
    """The centre crop, float32 [3, crop, crop]."""
    return T.Compose([T.Resize(sizes.resize), T.CenterCrop(sizes.crop), T.ToTensor(), T.Normalize(MEAN, STD)])


def ten_transform(sizes: Preprocessing) -> Transform:
    """Ten crops, each made a tensor and normalised by itself, float32 [10, 3, crop, crop]."""
    resize, to_tensor, normalise = T.Resize(sizes.resize), T.ToTensor(), T.Normalize(MEAN, STD)
    return lambda image: paddle.stack([normalise(to_tensor(crop)) for crop in ten_crop(resize(image), sizes.crop)])


def train_transform(sizes: Preprocessing) -> Transform:
    """A random crop, mirrored half of the time, float32 [3, crop, crop]."""
    return T.Compose(
        [
            T.Resize(sizes.resize),
            T.RandomCrop(sizes.crop),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(MEAN, STD),
        ]
    )


def evaluate(network: CheXNet, data: Data, transform: Transform, batch_size: int) -> tuple[np.ndarray, list[float]]:
    """Probabilities float32 [N, C], averaged over the crops if there are several, and the classes' AUROCs."""
    network.eval()
    labels, probabilities = [], []
    with paddle.no_grad():
        for images, truth in paddle.io.DataLoader(Images(data, transform), batch_size=batch_size, num_workers=0):
            outputs = network(images.reshape([-1, *images.shape[-3:]]))  # [B * crops, 3, crop, crop] -> [B * crops, C]
            probabilities.append(outputs.reshape([len(images), -1, outputs.shape[-1]]).mean(axis=1).numpy())
            labels.append(truth.numpy())
    scores = np.concatenate(probabilities)
    return scores, aurocs(np.concatenate(labels), scores)


def training_input(data: Data, sizes: Preprocessing, batch_size: int) -> int:
    """Makes every batch of an epoch; how many images they held."""
    loader = paddle.io.DataLoader(
        Images(data, train_transform(sizes)), batch_size=batch_size, shuffle=True, num_workers=0
    )
    return sum(len(images) for images, _ in loader)
