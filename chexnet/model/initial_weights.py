"""Initial weights of a network, and checks that weights fit a network."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chexnet.config.backbone_registry import DEFAULT_BACKBONE, check_backbone
from chexnet.device import paddle
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.model.backbones import BACKBONES

if TYPE_CHECKING:
    from chexnet.model.network import CheXNet


@dataclass(frozen=True)
class InitialWeights:
    """Origin of the initial weights of a network.

    Attributes:
        description: one line of text.
        metadata: metadata of the weight file; None for random and ImageNet weights, which were not trained on
            radiographs.
    """

    description: str
    metadata: Mapping[str, Any] | None


def init_weights(network: "CheXNet", init: str) -> InitialWeights:
    """Load the initial weights of a new network and return their origin.

    Args:
        network: filled in place, or unchanged if an error is raised.
        init: `random` keeps Paddle's random weights. `imagenet` loads Paddle's ImageNet backbone, which is downloaded
            into Paddle's own cache unless it is there. Anything else is the path of a weight file (`.pdparams` or
            `.safetensors`) of a whole CheXNet or of a backbone. The head of a backbone file is ignored.

    Raises:
        InputError: there are no ImageNet weights, the download failed, or the file is unreadable or does not fit.
    """
    if init == "random":
        return InitialWeights("random weights", None)
    path = Path(_download_imagenet(network)) if init == "imagenet" else Path(init)
    file = checkpoint.open_weights(path)
    check_backbone(file.metadata.get("backbone", network.backbone_name), str(path))
    state, metadata = strip_prefix(file.weights, network), None if init == "imagenet" else file.metadata
    if infer_backbone(state):
        check_fit(state, network.backbone_name, network.out_size, path)
        checkpoint.load_state_dict(network, state, str(path))
        return InitialWeights(f"all weights of {path}", metadata)
    prefixes = network.backbone.head_prefixes
    backbone = {name: value for name, value in state.items() if not name.startswith(prefixes)}
    current = network.backbone.state_dict()
    random_head = {name: value.numpy() for name, value in current.items() if name.startswith(prefixes)}
    checkpoint.load_state_dict(network.backbone, {**backbone, **random_head}, str(path))
    return InitialWeights(f"the backbone of {path}, random head", metadata)


def infer_backbone(state: Mapping[str, Any]) -> str:
    """Infer the backbone from the parameter names of a CheXNet; empty for weights of any other network."""
    return next((prefix for name in state if (prefix := name.partition(".")[0]) in BACKBONES), "")


def strip_prefix(state: Mapping[str, Any], network: "CheXNet") -> Mapping[str, Any]:
    """Strip a prefix common to all names, as `paddle.DataParallel` and PaddleClas add it.

    Args:
        state: weights of a file.
        network: the network that the weights are for.
    """
    first = next(iter(network.backbone.state_dict()))
    found = [name for name in state if name == first or name.endswith(f".{first}")]
    if len(found) != 1:
        return state
    prefix = found[0].removesuffix(first)
    if f".{prefix}".endswith(f".{network.backbone_name}."):
        prefix = prefix.removesuffix(f"{network.backbone_name}.")
    return {name.removeprefix(prefix): value for name, value in state.items()}


def rename_to_chexnet(state: Mapping[str, Any], network: "CheXNet") -> Mapping[str, Any]:
    """Rename the weights of a whole PaddleClas or `paddle.vision` network to CheXNet's names.

    Other weights are returned unchanged.
    """
    state, expected = strip_prefix(state, network), network.backbone.state_dict()
    if next(iter(expected)) not in state:
        return state
    # Their head is a single layer. Ours is the first layer of an nn.Sequential.
    sources = {re.sub(r"\.(weight|bias)$", r".0.\1", name): name for name in state if name not in expected}
    heads = {name: new for new, name in sources.items() if new in expected}
    return {f"{network.backbone_name}.{heads.get(name, name)}": value for name, value in state.items()}


def check_fit(state: Mapping[str, Any], backbone: str, out_size: int, path: str | os.PathLike[str]) -> None:
    """Raise InputError if weights belong to another backbone or have another number of outputs."""
    found = infer_backbone(state)
    if found not in ("", backbone):
        raise InputError(
            f"{path}: holds weights of the backbone {found}, expected those of {backbone}: "
            f"use --backbone {found} and, if there is a JSON file for these weights, the same backbone there"
        )
    outputs = _count_outputs(backbone, state)
    if outputs not in (None, out_size):
        raise InputError(
            f"{path}: has {outputs} outputs, expected {out_size}, one per class; list the {outputs} names with "
            "--classes_file FILE and, if there is a JSON file for these weights, the same names there"
        )


def _count_outputs(backbone: str, state: Mapping[str, Any]) -> int | None:
    """Return the number of outputs, the length of the head's bias, or None if there is no such vector."""
    prefix = f"{backbone}.{BACKBONES[backbone].head_prefixes[0]}"
    for name, value in state.items():
        if name.startswith(prefix) and name.endswith("bias") and getattr(value, "ndim", 0) == 1:
            return len(value)
    return None


def _download_imagenet(network: "CheXNet") -> str:
    if network.backbone.weights_url is None:
        raise InputError(
            f"--init imagenet: Paddle has no ImageNet weights of {network.backbone_name}; "
            "use --init random or --init PATH"
        )
    alternative = (
        "or convert torchvision's DenseNet-121 with convert_torch_weights.py and pass --init PATH"
        if network.backbone_name == DEFAULT_BACKBONE
        else "or download them from another source and pass --init PATH"
    )
    try:
        return paddle.utils.download.get_weights_path_from_url(*network.backbone.weights_url)
    except Exception as error:  # depends on what failed: the connection, the server or the file system
        raise InputError(
            "--init imagenet: the ImageNet weights could not be downloaded; connect to the internet, "
            f"{alternative}, or train from scratch with --init random"
        ) from error
