"""DenseNet-121 as torchxrayvision and MONAI publish it, in PyTorch, for the tests of the converter.

torchxrayvision `models.py` (`DenseNet`, `op_norm`), MONAI `monai/networks/nets/densenet.py` (`DenseNet121` with
spatial_dims=2).
"""

from collections import OrderedDict

import torch
from torch import nn
from torch_densenet import BLOCKS, GROWTH, DenseNet121


class XrvDenseNet(nn.Module):
    """torchxrayvision's network: gray images [N, 1, H, W] from -1024 to 1024 -> [N, outputs]."""

    def __init__(self, outputs: int = 18, op_threshs: torch.Tensor | None = None) -> None:
        super().__init__()
        inner = DenseNet121(nn.Linear(1024, outputs))
        self.features, self.classifier = inner.features, inner.classifier
        self.features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.register_buffer("op_threshs", op_threshs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits, or probabilities rescaled so that the operating points are at 0.5."""
        out = self.classifier(self.features(images).relu().mean(dim=(2, 3)))
        if self.op_threshs is None:
            return out
        return op_norm(torch.sigmoid(out), self.op_threshs)


def op_norm(outputs: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Rescale probabilities [N, C] so that the thresholds [C] become 0.5; 0.5 where there is no threshold."""
    below = outputs / (thresholds * 2)
    above = 1 - (1 - outputs) / ((1 - thresholds) * 2)
    return torch.where(outputs < thresholds, below, above).nan_to_num(0.5)


class _MonaiDenseLayer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["norm1"], parts["relu1"] = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        parts["conv1"] = nn.Conv2d(width, 4 * GROWTH, 1, bias=False)
        parts["norm2"], parts["relu2"] = nn.BatchNorm2d(4 * GROWTH), nn.ReLU(inplace=True)
        parts["conv2"] = nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False)
        self.layers = nn.Sequential(parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.layers(x)], dim=1)


class MonaiDenseNet121(nn.Module):
    """MONAI's network: images [N, in_channels, H, W] -> logits [N, outputs]."""

    def __init__(self, in_channels: int, outputs: int) -> None:
        super().__init__()
        self.features = DenseNet121(nn.Identity()).features
        self.features.conv0 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        width = 64
        for block, layers in enumerate(BLOCKS, start=1):
            dense = OrderedDict((f"denselayer{i + 1}", _MonaiDenseLayer(width + i * GROWTH)) for i in range(layers))
            setattr(self.features, f"denseblock{block}", nn.Sequential(dense))
            width = (width + layers * GROWTH) // 2
        parts: OrderedDict[str, nn.Module] = OrderedDict(relu=nn.ReLU(inplace=True), pool=nn.AdaptiveAvgPool2d(1))
        parts["flatten"], parts["out"] = nn.Flatten(1), nn.Linear(1024, outputs)
        self.class_layers = nn.Sequential(parts)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits."""
        return self.class_layers(self.features(images))
