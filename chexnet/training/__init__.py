"""Training through `paddle.Model.fit`, in runs that can be interrupted and gone on with."""

import chexnet.framework  # noqa: F401 - imports Paddle, before any module here does
from chexnet.training.metric import AUROC
from chexnet.training.runs import TrainResult, resume, train

__all__ = ["AUROC", "TrainResult", "resume", "train"]
