"""Convert PyTorch weights of CheXNet or DenseNet-121 to Paddle's names and layouts, and back.

Two kinds of files become Paddle files. A network with a head becomes a whole model for eval.py and train.py. An
ImageNet DenseNet-121 with 1000 outputs, from torchvision or timm, or one without a head, becomes a backbone file for
`train.py --init`: its 604 backbone tensors under the names of `paddle.vision`, without prefix and head.

A file with 14 outputs does not tell which finding each of them means, nor how images were preprocessed. Unless the
program that wrote it is known, arnoweng's class order, which is `labels.CLASS_NAMES`, and arnoweng's preprocessing are
assumed. The report states this, and the user can override it. Other numbers of outputs need class names.
"""

from chexnet.model.convert.conversion_report import Conversion
from chexnet.model.convert.from_torch import ConvertedWeights, from_torch, read_torch
from chexnet.model.convert.source_models import ConversionOptions
from chexnet.model.convert.to_torch import to_torch

__all__ = ["Conversion", "ConversionOptions", "ConvertedWeights", "from_torch", "read_torch", "to_torch"]
