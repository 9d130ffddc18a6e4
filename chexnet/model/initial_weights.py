"""Initial weights of a network, and checks that weights fit one."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chexnet.config.backbone_registry import DEFAULT_BACKBONE, check_backbone
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.model.backbones import BACKBONES

if TYPE_CHECKING:
    from chexnet.model.network import CheXNet


@dataclass(frozen=True)
class FirstWeights:
    """Origin of the initial weights of a network.

    Attributes:
        words: description for a person.
        metadata: what the weight file says of itself; None for random and ImageNet weights, which were trained on no
            radiographs.
    """

    words: str
    metadata: Mapping[str, Any] | None


def init_weights(network: "CheXNet", init: str) -> FirstWeights:
    """Load the initial weights of a new network and return their origin.

    Args:
        network: filled in place, or unchanged if an error is raised.
        init: `random` keeps Paddle's random weights. `imagenet` loads Paddle's ImageNet backbone, which is downloaded
            into Paddle's own cache unless it is there. Anything else is the path of a weight file (`.pdparams` or
            `.safetensors`) of a whole CheXNet or of a backbone, whose head (if any) is left out.

    Raises:
        InputError: there are no ImageNet weights, the download failed, or the file is unreadable or does not fit.
    """
    if init == "random":
        return FirstWeights("random weights", None)
    path = Path(_download_imagenet(network)) if init == "imagenet" else Path(init)
    file = checkpoint.open_weights(path)
    check_backbone(file.metadata.get("backbone", network.backbone), str(path))
    state, metadata = unwrapped(file.weights, network), None if init == "imagenet" else file.metadata
    if infer_backbone(state):
        check_fit(state, network.backbone, network.out_size, path)
        checkpoint.load_state_dict(network, state, str(path))
        return FirstWeights(f"all weights of {path}", metadata)
    prefixes = network.body.head_prefixes
    backbone = {name: value for name, value in state.items() if not name.startswith(prefixes)}
    own = network.body.state_dict()
    own_head = {name: own[name].numpy() for name in own if name.startswith(prefixes)}
    checkpoint.load_state_dict(network.body, {**backbone, **own_head}, str(path))
    return FirstWeights(f"the backbone of {path}, random head", metadata)


def infer_backbone(state: Mapping[str, Any]) -> str:
    """Infer the backbone from the parameter names of a CheXNet; empty for weights of any other network."""
    return next((prefix for name in state if (prefix := name.partition(".")[0]) in BACKBONES), "")


def unwrapped(state: Mapping[str, Any], network: "CheXNet") -> Mapping[str, Any]:
    """Strip a prefix that all names share, as `paddle.DataParallel` and PaddleClas add it.

    Args:
        state: the weights of a file.
        network: the network whose names are expected.
    """
    first = next(iter(network.body.state_dict()))
    found = [name for name in state if name == first or name.endswith(f".{first}")]
    if len(found) != 1:
        return state
    prefix = found[0].removesuffix(first)
    prefix = prefix.removesuffix(f"{network.backbone}.") if f".{prefix}".endswith(f".{network.backbone}.") else prefix
    return {name.removeprefix(prefix): value for name, value in state.items()}


def whole(state: Mapping[str, Any], network: "CheXNet") -> Mapping[str, Any]:
    """Rename the weights of a whole PaddleClas or `paddle.vision` network to a CheXNet's names; keep others as is."""
    state, expected = unwrapped(state, network), network.body.state_dict()
    if next(iter(expected)) not in state:
        return state
    # Their head is a single layer, ours the first of a sequence.
    sequential = {re.sub(r"\.(weight|bias)$", r".0.\1", name): name for name in state if name not in expected}
    heads = {name: new for new, name in sequential.items() if new in expected}
    return {f"{network.backbone}.{heads.get(name, name)}": value for name, value in state.items()}


def check_fit(state: Mapping[str, Any], backbone: str, out_size: int, path: str | os.PathLike[str]) -> None:
    """Raise InputError if weights belong to another backbone or have another number of outputs."""
    found = infer_backbone(state)
    if found not in ("", backbone):
        raise InputError(
            f"{path}: holds weights of the backbone {found}, expected those of {backbone}: "
            f"--backbone {found}, and the JSON beside it has to say so if there is one"
        )
    outputs = _outputs(backbone, state)
    if outputs not in (None, out_size):
        raise InputError(
            f"{path}: has {outputs} outputs, expected {out_size}, one for each class; --classes_file FILE names "
            "them, and the JSON beside it has to hold the same names if there is one"
        )


def _outputs(backbone: str, state: Mapping[str, Any]) -> int | None:
    """Count the outputs by the head's bias; None if there is no such vector."""
    head = f"{backbone}.{BACKBONES[backbone].head_prefixes[0]}"
    for name, value in state.items():
        if name.startswith(head) and name.endswith("bias") and getattr(value, "ndim", 0) == 1:
            return len(value)
    return None


def _download_imagenet(network: "CheXNet") -> Any:
    from paddle.utils.download import get_weights_path_from_url

    if network.body.weights_url is None:
        raise InputError(
            f"--init imagenet: Paddle has no ImageNet weights of {network.backbone}; use --init random or --init PATH"
        )
    by_hand = (
        "or convert torchvision's DenseNet-121 with convert_torch_weights.py and pass --init PATH"
        if network.backbone == DEFAULT_BACKBONE
        else "or fetch them elsewhere and pass --init PATH"
    )
    try:
        return get_weights_path_from_url(*network.body.weights_url)
    except Exception as error:  # whatever the network or the file system raised
        raise InputError(
            "--init imagenet: the ImageNet weights could not be downloaded; connect to the internet, "
            f"{by_hand}, or train from scratch with --init random"
        ) from error
