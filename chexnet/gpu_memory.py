"""Memory of the GPU: crops per pass and images per step that fit, and one line of text where they do not.

The bytes per image are reckoned from the layer outputs of DenseNet-121, not measured.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from chexnet import device
from chexnet.config.backbone_registry import DEFAULT_BACKBONE
from chexnet.errors import InputError

TRAINING_BYTES = 135e6
"""Bytes per image of 224 x 224 pixels in a training step in float32."""

EVALUATION_BYTES = 12e6
"""Bytes per crop of 224 x 224 pixels in a pass of the network in float32."""

MAX_CROPS = 640
"""Maximum number of crops per pass: more are not faster."""

_REDUCED = 0.55
"""Memory of a training step in mixed precision, compared with float32: most layer outputs take half."""

_USABLE = 0.8
"""Fraction of the free memory that is planned with; cuDNN's workspaces and fragmentation take the rest."""

_OUT_OF_MEMORY = re.compile(r"ResourceExhausted|BadAlloc|out of memory|ALLOC_FAILED", re.IGNORECASE)


def free_bytes() -> int:
    """Return the bytes that are free on Paddle's current GPU, including those that Paddle holds but does not use."""
    cuda = device.paddle.device.cuda
    unused = cuda.memory_reserved() - cuda.memory_allocated()
    return int(device.paddle.base.core.gpu_memory_available() + unused)


def crops_per_pass(crop: int) -> int:
    """Return how many crops of `crop` pixels fit into the free memory of the GPU in one pass, 1 to MAX_CROPS."""
    return max(1, min(MAX_CROPS, int(_USABLE * free_bytes() / (EVALUATION_BYTES * _area(crop)))))


def training_warning(images: int, crop: int, backbone: str, amp: str) -> str:
    """Return a warning if a training step probably does not fit into the free memory of the GPU, else nothing.

    Args:
        images: number of images in one pass of the network.
        crop: height and width of the images, pixels.
        backbone: name of the backbone. The need of others than DenseNet-121 is not known.
        amp: one of `chexnet.config.AMP_LEVELS`.
    """
    if not device.is_gpu() or backbone != DEFAULT_BACKBONE:
        return ""
    per_image = TRAINING_BYTES * _area(crop) * (1 if amp == "off" else _REDUCED)
    free = free_bytes()
    if images * per_image <= free:
        return ""
    fits = max(1, int(_USABLE * free / per_image))
    return (
        f"a step of {images} images takes about {images * per_image / 1e9:.1f} GB, and {device.device_name()} has "
        f"{free / 1e9:.1f} GB free, enough for about {fits} images: use a lower --batch_size, --accumulate or --amp"
    )


@contextmanager
def out_of_memory_as_input_error(task: str, remedy: str) -> Iterator[None]:
    """Turn Paddle's report of exhausted memory into an InputError.

    Args:
        task: what needs the memory, such as `a step of 128 images`.
        remedy: what to do instead.
    """
    try:
        yield
    # The allocator raises MemoryError; cuDNN, cuBLAS and some kernels report it as one of the others.
    except (MemoryError, RuntimeError, SystemError, OSError) as error:
        if not _OUT_OF_MEMORY.search(str(error)):
            raise
        available = re.search(r"available memory is only ([\d.]+ ?[KMGT]?B)", str(error))
        rest = f" ({available[1]} left)" if available else ""
        raise InputError(f"{device.device_name()}: not enough memory for {task}{rest}: {remedy}") from error


def _area(crop: int) -> float:
    """Return the area of a crop, compared with 224 x 224 pixels."""
    return (crop / 224) ** 2
