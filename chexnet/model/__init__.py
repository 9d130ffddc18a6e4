"""`CheXNet`, its backbones, its checkpoints, and their conversion from and to PyTorch."""

from typing import TYPE_CHECKING

from chexnet._lazy import lazy_exports

if TYPE_CHECKING:
    from chexnet.model.chexnet_cam import CheXNetCAM as CheXNetCAM
    from chexnet.model.initial_weights import InitialWeights as InitialWeights
    from chexnet.model.initial_weights import infer_backbone as infer_backbone
    from chexnet.model.initial_weights import init_weights as init_weights
    from chexnet.model.loading import Checkpoint as Checkpoint
    from chexnet.model.loading import load as load
    from chexnet.model.loading import open_checkpoint as open_checkpoint
    from chexnet.model.model_config import ModelConfig as ModelConfig
    from chexnet.model.model_config import check_crops as check_crops
    from chexnet.model.model_config import check_input_size as check_input_size
    from chexnet.model.model_config import load_model_config as load_model_config
    from chexnet.model.network import CheXNet as CheXNet
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "CheXNetCAM": "chexnet_cam",
            "InitialWeights": "initial_weights",
            "infer_backbone": "initial_weights",
            "init_weights": "initial_weights",
            "Checkpoint": "loading",
            "load": "loading",
            "open_checkpoint": "loading",
            "ModelConfig": "model_config",
            "check_crops": "model_config",
            "check_input_size": "model_config",
            "load_model_config": "model_config",
            "CheXNet": "network",
        },
    )
