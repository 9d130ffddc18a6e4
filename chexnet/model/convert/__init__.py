"""PyTorch weights of CheXNet or DenseNet-121 -> Paddle's names and layouts, and back.

Two things become Paddle files. A network with a head becomes a whole model for eval.py and train.py. An ImageNet
DenseNet-121 with 1000 outputs, torchvision's or timm's, or one without a head, becomes a backbone file for
`train.py --init`: its 604 backbone tensors under `paddle.vision`'s own names, without prefix and without head.

A file with 14 outputs says nothing about which finding each of them means, nor how images were resized
for it. Where the program that made it is not known, arnoweng's order, which is `labels.CLASS_NAMES`, and arnoweng's
preprocessing are assumed, and said; the user can say otherwise. Other numbers of outputs need names.
"""

from chexnet.model.convert.conversion_report import Conversion
from chexnet.model.convert.from_torch import Converted, from_torch, read_torch
from chexnet.model.convert.layouts import Choices
from chexnet.model.convert.to_torch import to_torch

__all__ = ["Choices", "Conversion", "Converted", "from_torch", "read_torch", "to_torch"]
