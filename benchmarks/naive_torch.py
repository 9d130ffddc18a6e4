"""The reference in PyTorch, in the manner of arnoweng/CheXNet: the same steps with torch's operations."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tests.torch_densenet import TorchCheXNet
from torch.utils.data import DataLoader, Dataset

from benchmarks.material import Data
from benchmarks.naive import aurocs, read_lines, ten_crop
from chexnet.config import CPUS
from chexnet.data.transforms import MEAN, STD, Preprocessing
from chexnet.model.convert import to_torch


class TenCrops(Dataset):
    """A list file; the ten crops of an image, float32 [10, 3, crop, crop], and its labels."""

    def __init__(self, data: Data, sizes: Preprocessing) -> None:
        self.data_dir = data.data_dir
        self.names, self.labels = read_lines(data.list_file)
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = Image.open(self.data_dir / self.names[index]).convert("RGB")
        shorter = min(image.size)
        size = (image.width * self.sizes.resize // shorter, image.height * self.sizes.resize // shorter)
        crops = ten_crop(image.resize(size, Image.Resampling.BILINEAR), self.sizes.crop)
        return torch.stack([_normalise(_to_tensor(crop)) for crop in crops]), torch.tensor(self.labels[index])


def load(ckpt: Path) -> TorchCheXNet:
    """The weights of a `.pdparams` file in PyTorch's network, which computes on all cores."""
    torch.set_num_threads(CPUS)  # Paddle, once imported, has told OpenMP to use one
    path = ckpt.with_suffix(".pth.tar")
    to_torch(ckpt, path)
    network = TorchCheXNet()
    network.load_state_dict(torch.load(path, weights_only=True)["state_dict"], strict=False)  # without BN's counters
    return network.eval()


def evaluate(
    network: TorchCheXNet, data: Data, sizes: Preprocessing, batch_size: int
) -> tuple[np.ndarray, list[float]]:
    """Probabilities float32 [N, C], averaged over the ten crops, and the classes' AUROCs."""
    labels, probabilities = [], []
    with torch.no_grad():
        for images, truth in DataLoader(TenCrops(data, sizes), batch_size=batch_size):
            outputs = network(images.flatten(0, 1))  # [B * 10, 3, crop, crop] -> [B * 10, C]
            probabilities.append(outputs.view(len(images), 10, -1).mean(dim=1).numpy())
            labels.append(truth.numpy())
    scores = np.concatenate(probabilities)
    return scores, aurocs(np.concatenate(labels), scores)


def _to_tensor(image: Image.Image) -> torch.Tensor:
    """RGB -> float32 [3, H, W] in 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)


def _normalise(image: torch.Tensor) -> torch.Tensor:
    return (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
