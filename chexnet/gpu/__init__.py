"""Check whether a GPU can be used: card, driver, Paddle's build and libraries, and its numbers against the CPU's."""

from chexnet.gpu.gpu_check import GpuCheck, check_gpu
from chexnet.gpu.libraries import link_libraries

__all__ = ["GpuCheck", "check_gpu", "link_libraries"]
