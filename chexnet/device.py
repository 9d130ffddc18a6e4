"""Where Paddle computes."""

import os

import paddle

from chexnet.errors import InputError


def select(name: str) -> str:
    """Makes `auto`, `cpu` or `gpu` Paddle's device and says what is in use, in words.

    `auto` is the GPU if this Paddle has CUDA and sees one, else the CPU.

    Raises:
        InputError: `gpu` is asked for and cannot be had, or several processes were launched.
    """
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1:
        raise InputError("launched as several processes, expected one: runs over several devices are not supported yet")
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    if name == "gpu" and not gpus:
        built = "sees none" if paddle.is_compiled_with_cuda() else "is the CPU build (see requirements-gpu.txt)"
        raise InputError(f"--device gpu: no GPU, this Paddle {paddle.__version__} {built}; use --device cpu")
    if gpus and name != "cpu":
        paddle.set_device("gpu")
        return f"Paddle {paddle.__version__}, GPU {paddle.device.cuda.get_device_name()}"
    paddle.set_device("cpu")
    return f"Paddle {paddle.__version__}, CPU"


def is_gpu() -> bool:
    """Whether Paddle's current device is a GPU."""
    return str(paddle.get_device()).startswith("gpu")
