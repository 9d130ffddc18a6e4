"""Baseline in PyTorch, in the manner of arnoweng/CheXNet: the same steps as in Paddle."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.baseline import aurocs, read_lines, ten_crop
from benchmarks.benchmark_data import ListedImages
from chexnet.config import CPUS
from chexnet.data.transforms import MEAN, STD, Preprocessing
from chexnet.model.convert import to_torch
from tests.support.torch_densenet import TorchCheXNet


class TenCrops(Dataset):
    """The images of a list file, each as ten crops float32 [10, 3, crop, crop], and their labels."""

    def __init__(self, listed: ListedImages, preprocessing: Preprocessing) -> None:
        self.data_dir = listed.data_dir
        self.names, self.labels = read_lines(listed.list_file)
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = Image.open(self.data_dir / self.names[index]).convert("RGB")
        shorter = min(image.size)
        size = (image.width * self.preprocessing.resize // shorter, image.height * self.preprocessing.resize // shorter)
        crops = ten_crop(image.resize(size, Image.Resampling.BILINEAR), self.preprocessing.crop)
        return torch.stack([_normalize(_to_tensor(crop)) for crop in crops]), torch.tensor(self.labels[index])


def load(ckpt: Path) -> TorchCheXNet:
    """Load the weights of a `.pdparams` file into the PyTorch network, which computes on all cores."""
    torch.set_num_threads(CPUS)  # importing Paddle sets OpenMP to one thread
    path = ckpt.with_suffix(".pth.tar")
    to_torch(ckpt, path)
    network = TorchCheXNet()
    network.load_state_dict(
        torch.load(path, weights_only=True)["state_dict"], strict=False
    )  # no counters of batch norm
    return network.eval()


def evaluate(
    network: TorchCheXNet, listed: ListedImages, preprocessing: Preprocessing, batch_size: int
) -> tuple[np.ndarray, list[float]]:
    """Return probabilities float32 [N, C], averaged over the ten crops, and the AUROC of each class."""
    labels, probabilities = [], []
    with torch.no_grad():
        for images, truth in DataLoader(TenCrops(listed, preprocessing), batch_size=batch_size):
            outputs = network(images.flatten(0, 1))  # [B * 10, 3, crop, crop] -> [B * 10, C]
            probabilities.append(outputs.view(len(images), 10, -1).mean(dim=1).numpy())
            labels.append(truth.numpy())
    scores = np.concatenate(probabilities)
    return scores, aurocs(np.concatenate(labels), scores)


def _to_tensor(image: Image.Image) -> torch.Tensor:
    """Convert RGB to float32 [3, H, W] in 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)


def _normalize(image: torch.Tensor) -> torch.Tensor:
    return (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
