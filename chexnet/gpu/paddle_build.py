"""Read what the installed Paddle was built for, from its files, and try it in a child process."""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chexnet.gpu.cards import TIMEOUT
from chexnet.gpu.child import call_in_child
from chexnet.gpu.libraries import missing_libraries
from chexnet.gpu.machine_code import architectures

PACKAGES = ("paddlepaddle", "paddlepaddle-gpu")
"""The packages that contain the module `paddle`, for the CPU and for GPUs."""

_IMPORT_TIMEOUT = 8 * TIMEOUT
"""Seconds to wait for the first import of a new installation and the first use of a card."""


@dataclass(frozen=True)
class PaddleBuild:
    """The installed Paddle.

    Attributes:
        packages: the installed packages of PACKAGES, with their versions.
        version: its version; empty if Paddle is not installed.
        cuda: version of CUDA that it was built for; empty for the CPU build.
        cudnn: version of cuDNN that it was built for; empty for the CPU build.
        architectures: GPUs that it has machine code for, see `machine_code.architectures`; empty if unknown.
        devices: number of cards that it finds; None if it was not asked.
        opened_cudnn: version of the cuDNN that it opens, such as 8600; None if it finds none or was not asked.
        missing: libraries of `libraries.LINKS` that it does not find.
        failure: reason why it cannot be imported or used; empty if it can, or if it was not tried.
    """

    packages: tuple[str, ...]
    version: str = ""
    cuda: str = ""
    cudnn: str = ""
    architectures: tuple[int, ...] = ()
    devices: int | None = None
    opened_cudnn: int | None = None
    missing: tuple[str, ...] = ()
    failure: str = ""

    def __str__(self) -> str:
        if not self.version:
            return "not installed"
        return f"{self.version}, " + (f"CUDA {self.cuda}, cuDNN {self.cudnn}" if self.cuda else "CPU build")


def find_paddle() -> PaddleBuild:
    """Return the installed Paddle, tried in a child process."""
    packages = tuple(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    spec = find_spec("paddle")
    if spec is None or spec.origin is None:
        return PaddleBuild(packages)
    folder = Path(spec.origin).parent
    facts = _version_module(folder)
    cuda = _text(facts, "cuda_version")
    tried = call_in_child("chexnet.gpu.paddle_build:try_paddle", bool(cuda), timeout=_IMPORT_TIMEOUT)
    return PaddleBuild(
        packages=packages,
        version=_text(facts, "full_version") or str(tried.values.get("version", "unknown version")),
        cuda=cuda,
        cudnn=_text(facts, "cudnn_version"),
        architectures=_architectures(folder, facts) if cuda else (),
        devices=tried.values.get("devices"),
        opened_cudnn=tried.values.get("cudnn"),
        missing=tuple(tried.values.get("missing", ())),
        failure=tried.failure,
    )


def try_paddle(gpu: bool) -> Iterator[dict[str, Any]]:
    """Import Paddle and ask a build for GPUs for its devices and libraries. To be called in a child process."""
    from chexnet.device import paddle

    yield {"version": paddle.__version__}
    if not gpu:
        return
    if paddle.__version__.startswith("2."):
        yield {"missing": missing_libraries()}
    yield {"devices": paddle.device.cuda.device_count()}
    yield {"cudnn": paddle.device.get_cudnn_version()}  # ends the process if cuDNN does not find its other parts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _version_module(folder: Path) -> dict[str, Any]:
    """Return the constants of Paddle's module `version` without importing it."""
    with suppress(OSError, SyntaxError, ValueError):
        tree = ast.parse((folder / "version" / "__init__.py").read_text(encoding="utf-8"))
        constants = [
            node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        ]
        facts = {}
        for node in constants:
            with suppress(ValueError):
                facts[ast.unparse(node.targets[0])] = ast.literal_eval(node.value)
        return facts
    return {}


def _text(facts: dict[str, Any], name: str) -> str:
    value = str(facts.get(name, ""))
    return "" if value in ("False", "None") else value


def _architectures(folder: Path, facts: dict[str, Any]) -> tuple[int, ...]:
    """Return the architectures that Paddle 3 lists, or else those in the library of its kernels."""
    listed = re.findall(r"\d+", str(facts.get("compiled_cuda_archs", "")))
    if listed:
        return tuple(sorted(map(int, listed)))
    for library in (folder / "libs" / "libphi.so", folder / "libs" / "libphi_gpu.so", folder / "base" / "libpaddle.so"):
        with suppress(OSError, ValueError):  # ValueError: an empty file cannot be mapped
            if found := architectures(library):
                return found
    return ()
