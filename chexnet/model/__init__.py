"""`CheXNet`, what belongs to its weight files, and where its weights come from."""

import chexnet.device  # noqa: F401 - imports Paddle, before any module here does
from chexnet.model.chexnet_cam import CheXNetCAM
from chexnet.model.initial_weights import FirstWeights, backbone_of, initialise
from chexnet.model.loading import Checkpoint, load, open_checkpoint
from chexnet.model.model_config import Description, check_crop, describe
from chexnet.model.network import CheXNet

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
