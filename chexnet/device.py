"""Paddle, and where it computes.

Paddle is imported here without what importing it does to the rest of the process.

By itself it writes a note about ccache to standard error and takes SIGTERM, to end with a crash report. And Paddle 2.6
brings a zlib which the system's libz, if it is loaded later, uses in part; after that Pillow reads no PNG.
"""

import os
import signal
import sys
import threading
import warnings

import numpy as np  # adds warning filters when it is imported, which are to stay
import PIL.Image  # noqa: F401 - loads libz

from chexnet.errors import InputError

_terminate = None if "paddle" in sys.modules else signal.getsignal(signal.SIGTERM)
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="No ccache found")
    import paddle as paddle

if _terminate is not None and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, _terminate)


def set_device(choice: str) -> None:
    """Makes `auto`, `cpu` or `gpu` Paddle's device.

    `auto` is the GPU if this Paddle has CUDA and sees one, else the CPU.

    Raises:
        InputError: `gpu` is asked for and cannot be had, or several processes were launched.
    """
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1:
        raise InputError("launched as several processes, expected one: runs over several devices are not supported yet")
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    if choice == "gpu" and not gpus:
        built = "sees none" if paddle.is_compiled_with_cuda() else "is the CPU build (see requirements-gpu.txt)"
        raise InputError(f"--device gpu: no GPU, this Paddle {paddle.__version__} {built}; use --device cpu")
    if gpus and choice != "cpu":
        paddle.set_device("gpu")
        paddle.set_flags({"FLAGS_cudnn_exhaustive_search": True})  # tries cuDNN's algorithms once for each shape
    else:
        paddle.set_device("cpu")


def is_gpu() -> bool:
    """Whether Paddle's current device is a GPU."""
    return str(paddle.get_device()).startswith("gpu")


def gpu_has(precision: str) -> bool:
    """Whether the GPU computes one of `chexnet.config.PRECISIONS`, as Paddle says."""
    ask = {"bfloat16": paddle.amp.is_bfloat16_supported, "float16": paddle.amp.is_float16_supported}
    return precision == "float32" or bool(ask[precision](paddle.get_device()))


def device_name() -> str:
    """Paddle's current device in words."""
    return f"GPU {paddle.device.cuda.get_device_name()}" if is_gpu() else "CPU"


def to_device(array: np.ndarray) -> paddle.Tensor:
    """Sends an array to the GPU without waiting for it.

    The copy goes through page-locked memory, queued among the kernels of the step before.
    """
    return paddle.to_tensor(array, place=paddle.CUDAPinnedPlace()).cuda(blocking=False)
