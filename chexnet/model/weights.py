"""Weights of a CheXNet: the first ones, and those of a file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chexnet import checkpoint
from chexnet.backbones import NETWORKS
from chexnet.config import DEFAULT_BACKBONE
from chexnet.errors import InputError
from chexnet.model.description import Description, describe
from chexnet.model.network import CheXNet


def initialise(network: CheXNet, init: str) -> str:
    """Gives a new network its first weights and says in words where they come from.

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
        return "random weights"
    path = _download_imagenet(network) if init == "imagenet" else Path(init)
    state = checkpoint.read_weights(path)
    if backbone_of(state):
        _assign(network, state, path)
        return f"all weights of {path}"
    head = network.body.head
    backbone = {name: value for name, value in state.items() if not name.startswith(head)}
    own = network.body.state_dict()
    kept = {name: own[name].numpy() for name in own if name.startswith(head)}
    checkpoint.assign(network.body, {**backbone, **kept}, str(path))
    return f"the backbone of {path}, random head"


def load(path: str | os.PathLike[str], description: Description | None = None) -> CheXNet:
    """A CheXNet with the weights of a `.pdparams` or `.safetensors` file.

    Args:
        path: the file.
        description: its backbone and classes; None takes what `describe` says.

    Raises:
        InputError: the file is missing (with the three ways to get one), unreadable or does not fit.
    """
    if not Path(path).is_file():
        raise InputError(
            f"{path}: no such checkpoint. Three ways to get one: convert arnoweng's model.pth.tar with "
            "convert_torch_weights.py, download Paddle-CheXNet's model_paddle.pdparams, or train with train.py "
            "(pretrained_models/README.md says where and how). "
            "Just to see it work: --ckpt pretrained_models/phantom_densenet121.safetensors"
        )
    known = description or describe(path)
    network = CheXNet(len(known.classes), known.backbone, known.preprocessing.scaling)
    _assign(network, checkpoint.read_weights(path), path)
    return network


def backbone_of(state: Mapping[str, Any]) -> str:
    """Which backbone the weights of a CheXNet are of, by their names; empty for those of anything else."""
    return next((first for name in state if (first := name.partition(".")[0]) in NETWORKS), "")


def _assign(network: CheXNet, state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    found = backbone_of(state)
    if found not in ("", network.backbone):
        raise InputError(
            f"{path}: holds weights of the backbone {found}, expected those of {network.backbone}: "
            f"--backbone {found}, and the JSON beside it has to say so if there is one"
        )
    outputs = _outputs(network, state)
    if outputs not in (None, network.out_size):
        raise InputError(
            f"{path}: has {outputs} outputs, expected {network.out_size}, one for each class; --classes FILE names "
            "them, and the JSON beside it has to hold the same names if there is one"
        )
    checkpoint.assign(network, state, str(path))


def _outputs(network: CheXNet, state: Mapping[str, Any]) -> int | None:
    """How many outputs weights have; None if the head's bias is not as it should be."""
    head = f"{network.backbone}.{network.body.head[0]}"
    for name, value in state.items():
        if name.startswith(head) and name.endswith("bias") and getattr(value, "ndim", 0) == 1:
            return len(value)
    return None


def _download_imagenet(network: CheXNet) -> Any:
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
