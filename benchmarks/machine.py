"""Description of the machine that runs the benchmarks."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chexnet.config import CPUS

PACKAGES = ("paddlepaddle", "openvino", "onnxruntime", "paddle2onnx", "torch", "numpy", "Pillow", "scikit-learn")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""CPU flags that determine the speed of a network, as Linux spells them."""


def to_dict() -> dict[str, object]:
    """Return the CPU with its cores and relevant flags, and the versions of Python and of the packages that compute."""
    cpu = _cpu()
    flags = cpu.get("flags", "").split()
    return {
        "cpu": cpu.get("model name", platform.processor()),
        "cores": CPUS,
        "flags": [flag for flag in FLAGS if flag in flags],
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in PACKAGES},
    }


def has_bfloat16() -> bool:
    """Return whether the CPU computes bfloat16 natively; emulation is slower than float32."""
    return bool({"avx512_bf16", "amx_bf16"} & set(_cpu().get("flags", "").split()))


def _cpu() -> dict[str, str]:
    """Return Linux's description of the first CPU."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").split("\n\n")[0].splitlines() if path.exists() else []
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
