"""A GPU that Paddle seems to find, for the code that chooses and describes the device; it computes on the CPU."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paddle
import pytest


@dataclass
class FakeGpu:
    """A GPU and its settings.

    Attributes:
        capability: compute capability.
        free: bytes of free memory.
        device: the device that was set last.
        settings: name -> value of the settings of Paddle.
    """

    capability: tuple[int, int] = (8, 0)
    free: int = 40 * 10**9
    device: str = "cpu"
    settings: dict[str, bool] = field(default_factory=lambda: {"cudnn": True, "cublas": True})  # Paddle's defaults

    def set(self, name: str) -> Callable[[bool], None]:
        """Return the function that sets a value."""
        return lambda value: self.settings.update({name: value})


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    """A GPU of compute capability 8.0 with 40 GB."""
    gpu = FakeGpu()
    cuda, core = paddle.device.cuda, paddle.base.core

    def replace(owner: Any, name: str, function: Callable[..., Any]) -> None:
        monkeypatch.setattr(owner, name, function, raising=False)

    replace(paddle, "is_compiled_with_cuda", lambda: True)
    replace(paddle, "set_device", lambda name: setattr(gpu, "device", name))
    replace(paddle, "get_device", lambda: f"{gpu.device}:0")
    replace(paddle, "set_flags", gpu.settings.update)
    replace(cuda, "device_count", lambda: 1)
    replace(cuda, "get_device_name", lambda: "Fake")
    replace(cuda, "get_device_capability", lambda: gpu.capability)
    replace(cuda, "memory_reserved", lambda: 0)
    replace(cuda, "memory_allocated", lambda: 0)
    replace(paddle.amp, "is_float16_supported", lambda device: gpu.capability >= (7, 0))
    replace(paddle.amp, "is_bfloat16_supported", lambda device: gpu.capability >= (8, 0))
    replace(core, "gpu_memory_available", lambda: gpu.free)
    for library in ("cudnn", "cublas"):
        replace(core, f"set_{library}_switch", gpu.set(library))
        replace(core, f"get_{library}_switch", lambda library=library: gpu.settings[library])
    return gpu
