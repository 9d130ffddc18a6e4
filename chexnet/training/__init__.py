"""Training runs on `paddle.Model.fit` that resume exactly where they stopped."""

from chexnet.device import paddle  # noqa: F401 - before any module here imports Paddle
from chexnet.training.auroc_metric import AUROC
from chexnet.training.losses import BinaryCrossEntropy
from chexnet.training.trainer import TrainResult, resume, train

__all__ = ["AUROC", "BinaryCrossEntropy", "TrainResult", "resume", "train"]
