"""`CheXNet`, what belongs to its weight files, and where its weights come from."""

import chexnet.framework  # noqa: F401 - imports Paddle, before any module here does
from chexnet.model.description import Description, check_crop, describe
from chexnet.model.earlier import CheXNetCAM
from chexnet.model.initial import FirstWeights, backbone_of, initialise
from chexnet.model.network import CheXNet
from chexnet.model.weights import Checkpoint, load, open_checkpoint

__all__ = [
    "CheXNet",
    "CheXNetCAM",
    "Checkpoint",
    "Description",
    "FirstWeights",
    "backbone_of",
    "check_crop",
    "describe",
    "initialise",
    "load",
    "open_checkpoint",
]
