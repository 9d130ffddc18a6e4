"""The names of DenseNet-121's tensors in torchvision and in `paddle.vision`.

Sources: `torchvision/models/densenet.py` and `paddle/vision/models/densenet.py` for the module names,
arnoweng/CheXNet `model.py` for the head, Huang et al., CVPR 2017, table 1 for the widths,
MONAI's `monai/networks/nets/densenet.py` for its spelling.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from chexnet.labels import N_CLASSES

PREFIX = "densenet121."
"""Prefix of every name of a whole model, in Paddle and, below `module.`, in PyTorch. Backbone files have none."""

HEAD = ("classifier.0.weight", "classifier.0.bias")
"""Names of the head in arnoweng's PyTorch code, without a prefix."""

GROWTH = 32
FEATURES = 32 * GROWTH
"""Number of inputs of the head."""

BATCH_COUNTER = "num_batches_tracked"

RENAMES = (
    (r"(denselayer\d+)\.layers\.", r"\1."),  # MONAI
    (r"(denselayer\d+)\.(norm|conv)\.([12])\.", r"\1.\2\3."),  # dots, while PyTorch allowed them in module names
    (r"^(conv0|norm0|norm5|denseblock\d|transition\d)\.", r"features.\1."),  # the features alone
)
"""Patterns that turn every spelling in use into that of the table below, applied from top to bottom."""

CHILD_NAMES = {
    **{"0": "conv0", "1": "norm0", "4": "denseblock1", "5": "transition1", "6": "denseblock2", "7": "transition2"},
    **{"8": "denseblock3", "9": "transition3", "10": "denseblock4", "11": "norm5"},
}
"""Index of a child of `features` -> its name. `nn.Sequential(*features.children())` loses the names."""

TRANSPOSED = ("out.0.weight",)
"""Suffixes of Paddle names whose matrices are [in, out], where PyTorch has [out, in]."""

_NORM = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}
_BLOCKS = (6, 12, 24, 16)


class Weight(NamedTuple):
    """One tensor under both names, without prefixes; `shape` is PyTorch's."""

    torch: str
    paddle: str
    shape: tuple[int, ...]

    @property
    def paddle_shape(self) -> tuple[int, ...]:
        """Shape in Paddle."""
        return self.shape[::-1] if self.transposed else self.shape

    @property
    def transposed(self) -> bool:
        """True if the two frameworks store the transposed matrix of each other."""
        return self.paddle.endswith(TRANSPOSED)


def backbone_weights() -> Iterator[Weight]:
    """Yield the 604 tensors of DenseNet-121 without its head, in the order of the network."""
    width, narrow = 2 * GROWTH, 4 * GROWTH
    yield _conv("features.conv0", "conv1_func", (width, 3, 7, 7))
    yield from _norm("features.norm0", "conv1_func._batch_norm", width)
    for block, layers in enumerate(_BLOCKS, start=1):
        for layer in range(1, layers + 1):
            torch = f"features.denseblock{block}.denselayer{layer}"
            paddle = f"db_conv_{block + 1}.conv{block + 1}_{layer}"
            yield from _norm(f"{torch}.norm1", f"{paddle}.bn_ac_func1._batch_norm", width)
            yield _conv(f"{torch}.conv1", f"{paddle}.bn_ac_func1", (narrow, width, 1, 1))
            yield from _norm(f"{torch}.norm2", f"{paddle}.bn_ac_func2._batch_norm", narrow)
            yield _conv(f"{torch}.conv2", f"{paddle}.bn_ac_func2", (GROWTH, narrow, 3, 3))
            width += GROWTH
        if block < len(_BLOCKS):
            torch, paddle = f"features.transition{block}", f"tr_conv{block + 1}_blk.conv_ac_func"
            yield from _norm(f"{torch}.norm", f"{paddle}._batch_norm", width)
            yield _conv(f"{torch}.conv", paddle, (width // 2, width, 1, 1))
            width //= 2
    yield from _norm("features.norm5", "batch_norm", width)


def model_weights(outputs: int = N_CLASSES) -> Iterator[Weight]:
    """Yield the 606 tensors of CheXNet: the backbone and its head."""
    yield from backbone_weights()
    weight, bias = HEAD
    yield Weight(weight, "out.0.weight", (outputs, FEATURES))
    yield Weight(bias, "out.0.bias", (outputs,))


def canonical_name(name: str, numbered: bool = False) -> str:
    """Convert any known PyTorch spelling of a name, without its prefix, to that of the table; others are unchanged.

    Args:
        name: name of a tensor.
        numbered: True if the children of `features` have numbers instead of names.

    Example:
        >>> canonical_name("features.denseblock4.denselayer16.conv.2.weight")
        'features.denseblock4.denselayer16.conv2.weight'
    """
    if numbered:
        first, _, rest = name.removeprefix("features.").partition(".")
        name = f"features.{CHILD_NAMES[first]}.{rest}" if first in CHILD_NAMES else name
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def summarize(names: Iterable[str], most: int = 4) -> str:
    """List the first few names of many, and the number of the others."""
    listed = list(names)
    shown = [name if len(name) <= 100 else f"{name[:97]}..." for name in listed[:most]]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(shown) + more


def transpose(weight: Weight, array: np.ndarray) -> np.ndarray:
    """Convert an array to the layout of the other framework; applied twice, it returns the same array."""
    return np.ascontiguousarray(array.T) if weight.transposed else array


def _conv(torch: str, paddle: str, shape: tuple[int, ...]) -> Weight:
    return Weight(f"{torch}.weight", f"{paddle}._conv.weight", shape)


def _norm(torch: str, paddle: str, width: int) -> Iterator[Weight]:
    for torch_name, paddle_name in _NORM.items():
        yield Weight(f"{torch}.{torch_name}", f"{paddle}.{paddle_name}", (width,))
