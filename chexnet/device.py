"""Import of Paddle without side effects, and choice of its device.

By itself, importing Paddle writes a note about ccache to standard error and installs a handler for SIGTERM, which
prints a crash report. Paddle 2.6 also contains a zlib. If the system's libz is loaded after it, the two are mixed and
Pillow cannot read PNG files.
"""

import os
import signal
import sys
import threading
import warnings

import numpy as np  # before `catch_warnings`: the warning filters that it adds are kept
import PIL.Image  # noqa: F401 - loads libz before Paddle

from chexnet.errors import InputError

_terminate = None if "paddle" in sys.modules else signal.getsignal(signal.SIGTERM)
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="No ccache found")
    import paddle as paddle

if _terminate is not None and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, _terminate)


def launched() -> int:
    """Return the number of processes that Paddle's launcher started for this job; 1 without the launcher."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def count_gpus() -> int:
    """Return the number of GPUs that Paddle finds; 0 if it is built without CUDA."""
    return paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0


def set_device(choice: str) -> None:
    """Set Paddle's device: `auto`, `cpu` or `gpu`.

    `auto` is the GPU if Paddle is built with CUDA and finds one, else the CPU.

    Raises:
        InputError: `choice` is `gpu` and there is none, or several processes were launched but have not been connected
            (`chexnet.distributed.join`).
    """
    if launched() > 1 and not paddle.distributed.is_initialized():
        raise InputError("launched as several processes, expected one: runs on several devices are not supported yet")
    gpus = count_gpus()
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
    return str(paddle.get_device()).startswith("gpu")


def gpu_supports(precision: str) -> bool:
    """Return whether the GPU supports a precision of `chexnet.config.PRECISIONS`, according to Paddle."""
    supported = {"bfloat16": paddle.amp.is_bfloat16_supported, "float16": paddle.amp.is_float16_supported}
    return precision == "float32" or bool(supported[precision](paddle.get_device()))


def device_name() -> str:
    """Return a description of Paddle's current device."""
    return f"GPU {paddle.device.cuda.get_device_name()}" if is_gpu() else "CPU"


def to_device(array: np.ndarray | paddle.Tensor) -> paddle.Tensor:
    """Copy an array to Paddle's current device; a tensor is returned as it is.

    The copy to a GPU is asynchronous: it goes through page-locked memory and is queued after the kernels of the
    previous step.
    """
    if isinstance(array, paddle.Tensor):
        return array
    if not is_gpu():
        return paddle.to_tensor(array)
    return paddle.to_tensor(array, place=paddle.CUDAPinnedPlace()).cuda(blocking=False)
