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


TF32_CAPABILITY = (8, 0)
"""First compute capability of NVIDIA GPUs with TF32: 8 bits of exponent and 10 of mantissa."""


def launched() -> int:
    """Return the number of processes that Paddle's launcher started for this job; 1 without the launcher."""
    number = os.environ.get("PADDLE_TRAINERS_NUM", "")
    return int(number) if number.isdecimal() else 1


def count_gpus() -> int:
    """Return the number of GPUs that Paddle finds; 0 if it is built without CUDA."""
    return paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0


def set_device(choice: str, tf32: str = "off") -> None:
    """Set Paddle's device and the precision of its float32 products.

    Args:
        choice: `auto`, `cpu` or `gpu`. `auto` is the GPU if Paddle is built with CUDA and finds one, else the CPU.
        tf32: `on` lets a GPU round the factors of float32 products to TF32, which Paddle does by default; `off` keeps
            them.

    Raises:
        InputError: `choice` is `gpu` and there is none, `tf32` is `on` and the device has no TF32, or several processes
            were launched but have not been connected (`chexnet.distributed.join`).
    """
    if launched() > 1 and not paddle.distributed.is_initialized():
        raise InputError("launched as several processes, expected one: runs on several devices are not supported yet")
    gpus = count_gpus()
    if choice == "gpu" and not gpus:
        reason = "finds none" if paddle.is_compiled_with_cuda() else "is the CPU build (see requirements-gpu.txt)"
        raise InputError(f"--device gpu: no GPU, Paddle {paddle.__version__} {reason}; use --device cpu")
    paddle.set_device("gpu" if gpus and choice != "cpu" else "cpu")
    if tf32 == "on" and not _has_tf32():
        found = device_name() if is_gpu() else "Paddle uses none"
        raise InputError(f"--tf32 on: needs a GPU of compute capability 8.0 or later (Ampere), {found}; use --tf32 off")
    if is_gpu():
        paddle.base.core.set_cudnn_switch(tf32 == "on")
        paddle.base.core.set_cublas_switch(tf32 == "on")
        _search_algorithms(False)


def expect_equal_shapes() -> None:
    """On a GPU, let cuDNN try all its algorithms once per shape, until the next `set_device`.

    This pays off for training and evaluation, whose batches all have one shape, but not for those of a few images each.
    """
    if is_gpu():
        _search_algorithms(True)


def _search_algorithms(exhaustively: bool) -> None:
    paddle.set_flags({"FLAGS_cudnn_exhaustive_search": exhaustively})


def is_gpu() -> bool:
    """Return whether Paddle's current device is a GPU."""
    return str(paddle.get_device()).startswith("gpu")


def gpu_supports(precision: str) -> bool:
    """Return whether the GPU supports a precision of `chexnet.config.PRECISIONS`, according to Paddle."""
    supported = {"bfloat16": paddle.amp.is_bfloat16_supported, "float16": paddle.amp.is_float16_supported}
    return precision == "float32" or bool(supported[precision](paddle.get_device()))


def check_gpu_precision(flag: str, precision: str, remedy: str) -> None:
    """Raise InputError if Paddle's current GPU does not support a precision of `chexnet.config.PRECISIONS`.

    Args:
        flag: the flag with its value, for the message.
        precision: the precision.
        remedy: what to do instead, for the message.
    """
    if not gpu_supports(precision):
        raise InputError(f"{flag}: {device_name()} does not support {precision}; {remedy}")


def tf32_note() -> str:
    """Return ` with TF32` if Paddle's current GPU rounds the factors of float32 products to it, else nothing."""
    return " with TF32" if _has_tf32() and paddle.base.core.get_cudnn_switch() else ""


def _has_tf32() -> bool:
    return is_gpu() and paddle.device.cuda.get_device_capability() >= TF32_CAPABILITY


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
