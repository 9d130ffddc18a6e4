"""One DenseNet-121 under two sets of names: torchvision's and `paddle.vision`'s.

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
"""Before every name of the model in Paddle, and in PyTorch below `module.`; backbone files have none."""

HEAD = ("classifier.0.weight", "classifier.0.bias")
"""The head as arnoweng's PyTorch code names it, without a prefix."""

GROWTH = 32
FEATURES = 32 * GROWTH
"""Inputs of the head."""

COUNTER = "num_batches_tracked"

RENAMES = (
    (r"(denselayer\d+)\.layers\.", r"\1."),  # MONAI
    (r"(denselayer\d+)\.(norm|conv)\.([12])\.", r"\1.\2\3."),  # dots, while PyTorch allowed them in module names
    (r"^(conv0|norm0|norm5|denseblock\d|transition\d)\.", r"features.\1."),  # the features alone
)
"""Every spelling that is in use -> the one of the table below: patterns replaced from top to bottom."""

NUMBERS = {
    **{"0": "conv0", "1": "norm0", "4": "denseblock1", "5": "transition1", "6": "denseblock2", "7": "transition2"},
    **{"8": "denseblock3", "9": "transition3", "10": "denseblock4", "11": "norm5"},
}
"""Place among the children of `features` -> name there: `nn.Sequential(*features.children())` forgets the names."""

TRANSPOSED = ("out.0.weight",)
"""Ends of Paddle names whose matrices are [in, out] where PyTorch has [out, in]."""

_NORM = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}
_BLOCKS = (6, 12, 24, 16)


class Weight(NamedTuple):
    """One tensor under both names, without prefixes; `shape` is PyTorch's."""

    torch: str
    paddle: str
    shape: tuple[int, ...]

    @property
    def paddle_shape(self) -> tuple[int, ...]:
        """The shape on Paddle's side."""
        return self.shape[::-1] if self.transposed else self.shape

    @property
    def transposed(self) -> bool:
        """Whether the two sides lay it out the other way round."""
        return self.paddle.endswith(TRANSPOSED)


def backbone() -> Iterator[Weight]:
    """The 604 tensors of DenseNet-121 without its head, in the order of the network."""
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


def model(outputs: int = N_CLASSES) -> Iterator[Weight]:
    """The tensors of CheXNet, 606: the backbone and its head."""
    yield from backbone()
    weight, bias = HEAD
    yield Weight(weight, "out.0.weight", (outputs, FEATURES))
    yield Weight(bias, "out.0.bias", (outputs,))


def canonical(name: str, numbered: bool = False) -> str:
    """Any known PyTorch spelling of a name, without what stands before it -> that of the table; others pass unchanged.

    Args:
        name: of a tensor.
        numbered: whether the children of `features` have numbers for names.

    Example:
        >>> canonical("features.denseblock4.denselayer16.conv.2.weight")
        'features.denseblock4.denselayer16.conv2.weight'
    """
    if numbered:
        first, _, rest = name.removeprefix("features.").partition(".")
        name = f"features.{NUMBERS[first]}.{rest}" if first in NUMBERS else name
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def some(of: Iterable[str], most: int = 4) -> str:
    """The first of some names that a file holds, and how many more there are."""
    listed = list(of)
    shown = [name if len(name) <= 100 else f"{name[:97]}..." for name in listed[:most]]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(shown) + more


def transpose(weight: Weight, array: np.ndarray) -> np.ndarray:
    """The array as the other side lays it out; going there and back gives the same array."""
    return np.ascontiguousarray(array.T) if weight.transposed else array


def _conv(torch: str, paddle: str, shape: tuple[int, ...]) -> Weight:
    return Weight(f"{torch}.weight", f"{paddle}._conv.weight", shape)


def _norm(torch: str, paddle: str, width: int) -> Iterator[Weight]:
    for of_torch, of_paddle in _NORM.items():
        yield Weight(f"{torch}.{of_torch}", f"{paddle}.{of_paddle}", (width,))
