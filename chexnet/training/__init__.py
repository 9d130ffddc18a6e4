"""Training runs on `paddle.Model.fit` that resume exactly where they stopped."""

import chexnet.device  # noqa: F401 - imports Paddle, before any module here does
from chexnet.training.auroc_metric import AUROC
from chexnet.training.losses import BinaryCrossEntropy
from chexnet.training.trainer import TrainResult, resume, train

__all__ = ["AUROC", "BinaryCrossEntropy", "TrainResult", "resume", "train"]
