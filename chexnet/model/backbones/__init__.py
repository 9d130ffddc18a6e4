"""Backbones by name, built on `paddle.vision.models` where it has them; docs/backbones.md compares them."""

import chexnet.device  # noqa: F401 - imports Paddle, before any module here does
from chexnet.config.backbone_registry import BACKBONES, register_backbone
from chexnet.model.backbones import classic, densenet, resnet  # noqa: F401 - registers what is in them
from chexnet.model.backbones.base import Backbone, FeatureGrid, GlobalPoolBackbone, global_avg_pool

__all__ = ["BACKBONES", "Backbone", "FeatureGrid", "GlobalPoolBackbone", "global_avg_pool", "register_backbone"]
