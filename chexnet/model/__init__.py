"""`CheXNet`, what belongs to its weight files, and where its weights come from."""

import chexnet.device  # noqa: F401 - imports Paddle, before any module here does
from chexnet.model.chexnet_cam import CheXNetCAM
from chexnet.model.initial_weights import FirstWeights, infer_backbone, init_weights
from chexnet.model.loading import Checkpoint, load, open_checkpoint
from chexnet.model.model_config import ModelConfig, check_input_size, load_model_config
from chexnet.model.network import CheXNet

__all__ = [
    "CheXNet",
    "CheXNetCAM",
    "Checkpoint",
    "FirstWeights",
    "ModelConfig",
    "check_input_size",
    "infer_backbone",
    "init_weights",
    "load",
    "load_model_config",
    "open_checkpoint",
]
