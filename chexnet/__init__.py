"""CheXNet in PaddlePaddle: 14 findings on frontal chest radiographs with DenseNet-121."""

import importlib as _importlib
import sys as _sys
import zlib as _zlib  # noqa: F401 - before Paddle, see chexnet.device
from typing import TYPE_CHECKING, Any

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

__version__ = "0.1.0"

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

_MODULES = {
    "CLASS_NAMES": "labels",
    "CheXNet": "model",
    "ChestXrayDataSet": "data",
    "EvalConfig": "config",
    "Predictor": "predictor",
    "TrainConfig": "config",
    "evaluate": "evaluation",
    "list_backbones": "backbone_registry",
    "load": "model",
    "localize": "localization",
    "register_backbone": "backbone_registry",
    "resume": "training",
    "train": "training",
}
"""Public name -> the module that has it, imported when the name is first used: Paddle alone takes seconds."""


if not TYPE_CHECKING:  # with it, type checkers would believe in every attribute

    def __getattr__(name: str) -> Any:
        """Import a public name on first use (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(_importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """Names of the module, those not imported yet included."""
    return sorted({*globals(), *__all__})


def _check_png() -> None:
    """Warn if Paddle 2.6, imported too early, keeps Pillow from reading PNG; see `chexnet.device`."""
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
            f"Pillow reads no PNG in this process ({error}): paddle was imported before zlib; import chexnet first",
            RuntimeWarning,
            stacklevel=3,
        )


if _sys.modules.get("paddle"):
    _check_png()
