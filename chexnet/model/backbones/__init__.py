"""Backbones by name, built on `paddle.vision.models` where it has them; docs/backbones.md compares them."""

from chexnet.config.backbone_registry import BACKBONES, register_backbone
from chexnet.device import paddle  # noqa: F401 - before any module here imports Paddle
from chexnet.model.backbones import classic, densenet, resnet  # noqa: F401 - registers what is in them
from chexnet.model.backbones.base import Backbone, GlobalPoolBackbone, global_avg_pool
from chexnet.model.feature_grid import FeatureGrid

__all__ = ["BACKBONES", "Backbone", "FeatureGrid", "GlobalPoolBackbone", "global_avg_pool", "register_backbone"]
