"""Import of Paddle without side effects, and choice of its device.

By itself, importing Paddle writes a note about ccache to standard error and installs a handler for SIGTERM, which
prints a crash report. Paddle 2.6 also contains a zlib. If the system's libz is loaded after it, the two are mixed and
Pillow cannot read PNG files.

The attribute `paddle` of this module imports Paddle on first use, because that takes a second or more and inference
with a cached graph does not need it. A module that needs Paddle as it is imported has `from chexnet.device import
paddle`; all others have `from chexnet import device` and use `device.paddle`.
"""

import os
import re
import signal
import sys
import threading
import warnings
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np  # before `catch_warnings`: the warning filters that it adds are kept
import PIL.Image  # noqa: F401 - loads libz before Paddle

from chexnet.errors import InputError

if TYPE_CHECKING:
    import paddle as paddle

_cpu_chosen = False
"""True if `set_device` chose the CPU before Paddle was imported. It is set as soon as Paddle is."""


def __getattr__(name: str) -> Any:
    if name != "paddle":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _import_paddle()


def _import_paddle() -> ModuleType:
    """Import Paddle on the first call."""
    global _cpu_chosen
    terminate = None if "paddle" in sys.modules else signal.getsignal(signal.SIGTERM)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No ccache found")
        import paddle
    if terminate is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)
    if _cpu_chosen:
        paddle.set_device("cpu")
        _cpu_chosen = False
    globals()["paddle"] = paddle
    return paddle


def _is_imported() -> bool:
    return sys.modules.get("paddle") is not None


@cache
def _installed_build() -> dict[str, str]:
    """Return what the installed Paddle says about its build, without importing it; empty if it is not found."""
    spec = PathFinder.find_spec("paddle")
    if spec is None or spec.origin is None:
        return {}
    try:
        text = Path(spec.origin).with_name("version").joinpath("__init__.py").read_text(encoding="utf-8")
    except OSError:
        return {}
    return dict(re.findall(r"(?m)^(\w+)\s*=\s*'([^'\n]*)'", text))


def paddle_version() -> str:
    """Return Paddle's version. Paddle is imported only if its files do not tell."""
    return _installed_build().get("full_version") or str(_import_paddle().__version__)


def _is_cpu_build() -> bool:
    """Return whether Paddle is known to be built without CUDA and ROCm; False if only its import can tell."""
    build = _installed_build()
    return build.get("cuda_version") == "False" and build.get("hip_version", "False") == "False"


def set_device(choice: str) -> None:
    """Set Paddle's device: `auto`, `cpu` or `gpu`.

    `auto` is the GPU if Paddle is built with CUDA and finds one, else the CPU.

    Raises:
        InputError: `choice` is `gpu` and there is none, or several processes were launched.
    """
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1:
        raise InputError("launched as several processes, expected one: runs on several devices are not supported yet")
    global _cpu_chosen
    if choice != "gpu" and not _is_imported() and (choice == "cpu" or _is_cpu_build()):
        _cpu_chosen = True
        return
    paddle = _import_paddle()
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    if choice == "gpu" and not gpus:
        reason = "finds none" if paddle.is_compiled_with_cuda() else "is the CPU build (see requirements-gpu.txt)"
        raise InputError(f"--device gpu: no GPU, Paddle {paddle.__version__} {reason}; use --device cpu")
    if gpus and choice != "cpu":
        paddle.set_device("gpu")
        paddle.set_flags({"FLAGS_cudnn_exhaustive_search": True})  # tries cuDNN's algorithms once per shape
    else:
        paddle.set_device("cpu")


def is_gpu() -> bool:
    """Return whether Paddle's current device is a GPU."""
    if not _is_imported() and (_cpu_chosen or _is_cpu_build()):
        return False
    return str(_import_paddle().get_device()).startswith("gpu")


def gpu_supports(precision: str) -> bool:
    """Return whether the GPU supports a precision of `chexnet.config.PRECISIONS`, according to Paddle."""
    paddle = _import_paddle()
    supported = {"bfloat16": paddle.amp.is_bfloat16_supported, "float16": paddle.amp.is_float16_supported}
    return precision == "float32" or bool(supported[precision](paddle.get_device()))


def device_name() -> str:
    """Return a description of Paddle's current device."""
    return f"GPU {_import_paddle().device.cuda.get_device_name()}" if is_gpu() else "CPU"


def to_device(array: np.ndarray) -> "paddle.Tensor":
    """Copy an array to the GPU asynchronously.

    The copy goes through page-locked memory and is queued after the kernels of the previous step.
    """
    paddle = _import_paddle()
    return paddle.to_tensor(array, place=paddle.CUDAPinnedPlace()).cuda(blocking=False)
