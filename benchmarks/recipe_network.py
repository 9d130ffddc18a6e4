"""The network of benchmarks/recipes.py: small enough to be trained sixty times on two cores."""

import paddle
from paddle import nn

from chexnet.model.backbones import FeatureGrid, GlobalPoolBackbone, register_backbone  # before Paddle

CHANNELS = (16, 32, 64, 64)


@register_backbone("small")
class SmallNetwork(GlobalPoolBackbone):
    """Four convolutions of stride 2, each with batch normalization; 67,000 parameters."""

    grid = FeatureGrid(stride=16, offset=0)
    min_input_size = 16
    head_prefixes = ("classifier.",)

    def __init__(self, out_size: int) -> None:
        super().__init__()
        layers: list[nn.Layer] = []
        for before, after in zip((3, *CHANNELS), CHANNELS, strict=False):
            layers += [
                nn.Conv2D(before, after, 3, stride=2, padding=1, bias_attr=False),
                nn.BatchNorm2D(after),
                nn.ReLU(),
            ]
        self.stages = nn.Sequential(*layers)
        self.classifier = nn.Linear(CHANNELS[-1], out_size)

    def features(self, images: paddle.Tensor) -> paddle.Tensor:
        """Compute the feature map: [N, 3, H, W] -> [N, 64, H/16, W/16]."""
        return self.stages(images)
