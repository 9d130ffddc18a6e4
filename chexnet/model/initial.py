"""The first weights of a network, and whether weights are those of it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chexnet import checkpoint
from chexnet.backbones import NETWORKS
from chexnet.config import DEFAULT_BACKBONE
from chexnet.errors import InputError

if TYPE_CHECKING:
    from chexnet.model.network import CheXNet


@dataclass(frozen=True)
class FirstWeights:
    """Where the first weights of a network come from.

    Attributes:
        words: for a person.
        metadata: the JSON beside them; None if they have seen no radiographs, as random and ImageNet weights.
    """

    words: str
    metadata: Mapping[str, Any] | None


def initialise(network: "CheXNet", init: str) -> FirstWeights:
    """Gives a new network its first weights and says where they come from.

    Args:
        network: filled in place, or left as it is if an error is raised.
        init: `random` keeps Paddle's random weights; `imagenet` takes Paddle's ImageNet backbone, which is
            downloaded into Paddle's own cache unless it is there; anything else is the path of a weight
            file (`.pdparams` or `.safetensors`) of a whole CheXNet or of a backbone, whose head (if any) is
            left out.

    Raises:
        InputError: there are no ImageNet weights, the download failed, or the file is unreadable or does not fit.
    """
    if init == "random":
        return FirstWeights("random weights", None)
    path = Path(_download_imagenet(network)) if init == "imagenet" else Path(init)
    file = checkpoint.open_weights(path)
    state, metadata = unwrapped(file.weights, network), None if init == "imagenet" else file.metadata
    if backbone_of(state):
        check_fit(state, network.backbone, network.out_size, path)
        checkpoint.assign(network, state, str(path))
        return FirstWeights(f"all weights of {path}", metadata)
    head = network.body.head
    backbone = {name: value for name, value in state.items() if not name.startswith(head)}
    own = network.body.state_dict()
    kept = {name: own[name].numpy() for name in own if name.startswith(head)}
    checkpoint.assign(network.body, {**backbone, **kept}, str(path))
    return FirstWeights(f"the backbone of {path}, random head", metadata)


def backbone_of(state: Mapping[str, Any]) -> str:
    """Which backbone the weights of a CheXNet are of, by their names; empty for those of anything else."""
    return next((first for name in state if (first := name.partition(".")[0]) in NETWORKS), "")


def unwrapped(state: Mapping[str, Any], network: "CheXNet") -> Mapping[str, Any]:
    """Weights without what a program put before all names, as `paddle.DataParallel` and PaddleClas do.

    Args:
        state: the weights of a file.
        network: what they may be of.
    """
    first = next(iter(network.body.state_dict()))
    found = [name for name in state if name == first or name.endswith(f".{first}")]
    if len(found) != 1:
        return state
    prefix = found[0].removesuffix(first)
    prefix = prefix.removesuffix(f"{network.backbone}.") if f".{prefix}".endswith(f".{network.backbone}.") else prefix
    return {name.removeprefix(prefix): value for name, value in state.items()}


def whole(state: Mapping[str, Any], network: "CheXNet") -> Mapping[str, Any]:
    """Weights of a whole network of PaddleClas or `paddle.vision` under a CheXNet's names; others unchanged."""
    state, wanted = unwrapped(state, network), network.body.state_dict()
    if next(iter(wanted)) not in state:
        return state
    inner = {re.sub(r"\.(weight|bias)$", r".0.\1", name): name for name in state if name not in wanted}
    heads = {name: new for new, name in inner.items() if new in wanted}  # a layer that stands alone there
    return {f"{network.backbone}.{heads.get(name, name)}": value for name, value in state.items()}


def check_fit(state: Mapping[str, Any], backbone: str, out_size: int, path: str | os.PathLike[str]) -> None:
    """Raises InputError if weights are of another backbone, or have another number of outputs."""
    found = backbone_of(state)
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
    """How many outputs weights have; None if the head's bias is not as it should be."""
    head = f"{backbone}.{NETWORKS[backbone].head[0]}"
    for name, value in state.items():
        if name.startswith(head) and name.endswith("bias") and getattr(value, "ndim", 0) == 1:
            return len(value)
    return None


def _download_imagenet(network: "CheXNet") -> Any:
    from paddle.utils.download import get_weights_path_from_url

    if network.body.imagenet is None:
        raise InputError(
            f"--init imagenet: Paddle has no ImageNet weights of {network.backbone}; use --init random or --init PATH"
        )
    by_hand = (
        "or convert torchvision's DenseNet-121 with convert_torch_weights.py and pass --init PATH"
        if network.backbone == DEFAULT_BACKBONE
        else "or fetch them elsewhere and pass --init PATH"
    )
    try:
        return get_weights_path_from_url(*network.body.imagenet)
    except Exception as error:  # whatever the network or the file system raised
        raise InputError(
            "--init imagenet: the ImageNet weights could not be downloaded; connect to the internet, "
            f"{by_hand}, or train from scratch with --init random"
        ) from error
