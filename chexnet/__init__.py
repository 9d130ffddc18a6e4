"""CheXNet in PaddlePaddle: 14 findings on frontal chest radiographs with DenseNet-121."""

import sys as _sys
import zlib as _zlib  # noqa: F401 - before Paddle, see chexnet.device
from typing import TYPE_CHECKING

from chexnet._lazy import lazy_exports as _lazy_exports

if TYPE_CHECKING:
    from chexnet.config import EvalConfig, TrainConfig
    from chexnet.config.backbone_registry import list_backbones, register_backbone
    from chexnet.data import ChestXrayDataSet
    from chexnet.evaluation import evaluate
    from chexnet.evaluation.localization import localize
    from chexnet.inference import Predictor
    from chexnet.labels import CLASS_NAMES
    from chexnet.model import CheXNet, load
    from chexnet.training import resume, train

__version__ = "0.2.0"

__all__ = [
    "CLASS_NAMES",
    "CheXNet",
    "ChestXrayDataSet",
    "EvalConfig",
    "Predictor",
    "TrainConfig",
    "evaluate",
    "list_backbones",
    "load",
    "localize",
    "register_backbone",
    "resume",
    "train",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _lazy_exports(
        __name__,
        {
            "CLASS_NAMES": "labels",
            "CheXNet": "model.network",
            "ChestXrayDataSet": "data.paddle_dataset",
            "EvalConfig": "config",
            "Predictor": "inference.predictor",
            "TrainConfig": "config",
            "evaluate": "evaluation.evaluator",
            "list_backbones": "config.backbone_registry",
            "load": "model.loading",
            "localize": "evaluation.localization",
            "register_backbone": "config.backbone_registry",
            "resume": "training.trainer",
            "train": "training.trainer",
        },
    )


def _check_png() -> None:
    """Warn if Pillow cannot read PNG files because Paddle 2.6 was imported first; see `chexnet.device`."""
    import io
    import warnings

    from PIL import Image

    pixel = (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU"
        b"\0\0\0\nIDATx\x9cch\0\0\0\x82\0\x81w\xcdr\xb6\0\0\0\0IEND\xaeB`\x82"
    )
    try:
        Image.open(io.BytesIO(pixel)).load()
    except OSError as error:
        warnings.warn(
            f"Pillow cannot read PNG files in this process ({error}) because paddle was imported before zlib; "
            "import chexnet first",
            RuntimeWarning,
            stacklevel=3,
        )


if _sys.modules.get("paddle"):
    _check_png()
