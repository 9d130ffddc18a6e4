"""CheXNet in PyTorch for the tests of the converter, with torchvision's module names.

Huang et al., Densely Connected Convolutional Networks, CVPR 2017, table 1; the head as in
arnoweng/CheXNet `model.py`. torchvision itself cannot be installed next to a CPU build of torch.
"""

from collections import OrderedDict

import torch
from torch import nn

BLOCKS = (6, 12, 24, 16)
GROWTH = 32


class DenseLayer(nn.Module):
    """[N, width, H, W] -> the same with 32 channels appended."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, 4 * GROWTH, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * GROWTH)
        self.conv2 = nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute one layer of a dense block."""
        narrow = self.conv1(self.norm1(x).relu())
        return torch.cat([x, self.conv2(self.norm2(narrow).relu())], dim=1)


class DenseNet121(nn.Module):
    """Normalized images [N, 3, H, W] -> output of `classifier` for the pooled features [N, 1024]."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["conv0"] = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        parts["norm0"] = nn.BatchNorm2d(64)
        parts["relu0"] = nn.ReLU()
        parts["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
        width = 64
        for block, layers in enumerate(BLOCKS, start=1):
            dense = OrderedDict((f"denselayer{i + 1}", DenseLayer(width + i * GROWTH)) for i in range(layers))
            parts[f"denseblock{block}"] = nn.Sequential(dense)
            width += layers * GROWTH
            if block < len(BLOCKS):
                parts[f"transition{block}"] = _transition(width)
                width //= 2
        parts["norm5"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(parts)
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the output of the head."""
        return self.classifier(self.features(images).relu().mean(dim=(2, 3)))


class TorchCheXNet(nn.Module):
    """arnoweng's model: probabilities [N, out_size], weights named `densenet121.features...`."""

    def __init__(self, out_size: int = 14) -> None:
        super().__init__()
        self.densenet121 = DenseNet121(nn.Sequential(nn.Linear(1024, out_size), nn.Sigmoid()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute probabilities of normalized images."""
        return self.densenet121(images)


def _transition(width: int) -> nn.Sequential:
    norm, conv = nn.BatchNorm2d(width), nn.Conv2d(width, width // 2, 1, bias=False)
    return nn.Sequential(OrderedDict(norm=norm, relu=nn.ReLU(), conv=conv, pool=nn.AvgPool2d(2)))


def randomize(network: nn.Module, seed: int) -> nn.Module:
    """Fill every tensor of a network with different random numbers that keep its activations moderate."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            tensor.fill_(1000)
        elif name.endswith("running_var"):
            tensor.copy_(0.5 + noise.abs())
        elif tensor.dim() > 1:
            tensor.copy_(noise * (2 / tensor[0].numel()) ** 0.5)
        else:  # the weight of a norm is near 1, other one-dimensional tensors near 0
            tensor.copy_(0.2 * noise + float("norm" in name and name.endswith("weight")))
    return network.eval()
