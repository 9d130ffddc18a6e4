"""Check a GPU: card, driver, Paddle's build and libraries; compare its numbers."""

from chexnet.gpu.gpu_check import GpuCheck, check_gpu
from chexnet.gpu.libraries import link_libraries

__all__ = ["GpuCheck", "check_gpu", "link_libraries"]
