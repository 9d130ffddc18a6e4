"""Run a network with Paddle, OpenVINO or ONNX Runtime.

On a GPU, the network runs in Paddle's eager mode or in ONNX Runtime. On a CPU, it is exported and compiled, which is
several times faster than eager mode; see docs/performance.md.
"""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from chexnet import device
from chexnet.config import CPUS, ENGINES
from chexnet.errors import InputError
from chexnet.files import temporary_folder
from chexnet.inference import graph_export, onnx_sessions
from chexnet.inference.engine_backends import (
    EagerEngine,
    Engine,
    GpuEngine,
    Graph,
    OnnxRuntimeEngine,
    OpenVINOEngine,
    PaddleInferenceEngine,
    export_ir,
    import_openvino,
)
from chexnet.inference.onnx_sessions import Cuda

if TYPE_CHECKING:
    from chexnet.model import CheXNet

EAGER_MAX_CROPS = 40
"""On a CPU, eager Paddle predicts up to this number of crops in less time than another engine needs to compile."""


@dataclass(frozen=True)
class EngineSpec:
    """An engine that is available on this machine.

    Attributes:
        engine: `paddle`, `openvino` or `onnxruntime`.
        precision: `float32`, `bfloat16` or `float16`.
        threads: number of CPU threads.
        description: engine, precision, device and threads, as text.
        cuda: settings of ONNX Runtime's CUDA; None if it is not used.
    """

    engine: str
    precision: str
    threads: int
    description: str
    cuda: Cuda | None = None

    def compile(self, network: "CheXNet", crop: int | None, maps: bool = False) -> Engine:
        """Compile a network for square images of `crop` pixels, or with None for images of any height and width.

        It returns probabilities or, with `maps`, class maps.

        `chexnet.inference.cam.probabilities` computes probabilities from class maps, so one pass gives both.
        """
        if device.is_gpu():
            return GpuEngine(network, maps, self.precision, crop)
        if self.loads_graphs:
            return self.load(self.export(network, crop, maps))
        with temporary_folder() as folder:
            return PaddleInferenceEngine(
                graph_export.save_program(network, folder, crop, maps), self.precision, self.threads
            )

    @property
    def version(self) -> str:
        """Version of the engine's package."""
        return _version(self.engine)

    @property
    def loads_graphs(self) -> bool:
        """True if `load` compiles what `export` returns, without Paddle."""
        return self.engine != "paddle"

    def export(self, network: "CheXNet", crop: int | None, maps: bool = False) -> Graph:
        """Export a network as a graph; the arguments are those of `compile`."""
        with temporary_folder() as folder:
            if self.engine == "onnxruntime":
                return Graph(graph_export.save_onnx(network, folder, crop, maps).read_bytes(), b"")
            return export_ir(network, folder, crop, maps)

    def load(self, graph: Graph) -> Engine:
        """Compile a graph that `export` returned."""
        if self.engine == "onnxruntime":
            return OnnxRuntimeEngine(graph.program, self.threads, self.cuda)
        return OpenVINOEngine(graph, self.precision, self.threads)


@dataclass(frozen=True)
class _EagerSpec(EngineSpec):
    """Paddle's eager mode on a CPU, for few images."""

    def compile(self, network: "CheXNet", crop: int | None, maps: bool = False) -> Engine:
        return EagerEngine(network, maps)


def set_device(engine: str, choice: str, tf32: str = "off") -> Cuda | None:
    """Set Paddle's device for an engine. If ONNX Runtime computes on the GPU, Paddle's device is the CPU.

    Args:
        engine: see `select_engine`.
        choice: one of `chexnet.config.DEVICES`. With `auto`, ONNX Runtime uses the CPU if it cannot use CUDA.
        tf32: `on` or `off`, see `device.set_device`.

    Returns:
        The settings of ONNX Runtime's CUDA for `select_engine`, None if it is not used.

    Raises:
        InputError: `choice` is `gpu`, but the engine cannot use it; or `tf32` is `on`, but the device has no TF32.
    """
    if engine != "onnxruntime":
        device.set_device(choice, tf32)
        return None
    if choice == "cpu" or not graph_export.ONNX_POSSIBLE:
        device.set_device("cpu", tf32)
        return None
    reason = onnx_sessions.why_no_cuda()
    if reason and choice == "gpu":
        raise InputError(f"--engine {engine} --device gpu: {reason}")
    device.set_device("cpu", tf32 if reason else "off")
    if reason:
        return None
    gpu = onnx_sessions.cuda_device()
    if tf32 == "on" and gpu.capability < device.TF32_CAPABILITY:
        raise InputError(
            f"--tf32 on: needs a GPU of compute capability 8.0 or later (Ampere), {gpu.name}; use --tf32 off"
        )
    return Cuda(gpu.name, tf32 == "on")


def select_engine(
    engine: str = "auto", precision: str = "float32", crops: int | None = None, cuda: Cuda | None = None
) -> EngineSpec:
    """Choose an engine for Paddle's current device.

    Args:
        engine: one of `chexnet.config.ENGINES`, or `auto`: Paddle on a GPU, otherwise the fastest installed engine.
        precision: one of `chexnet.config.PRECISIONS`. Weights are float32; lower precision is faster.
        crops: total number of crops to compute, None if unknown. On a CPU, `auto` does not compile for few crops.
        cuda: result of `set_device`.

    Raises:
        InputError: the engine is not installed, does not run on this device, or does not support the precision.
    """
    if device.is_gpu():
        if engine not in ("auto", "paddle"):
            raise InputError(f"--engine {engine}: runs on the CPU only; add --device cpu, or use --engine paddle")
        check_gpu_precision(precision)
        computed = f"{precision}{device.tf32_note()}"
        return EngineSpec(
            "paddle", precision, 1, f"paddle {device.paddle_version()}, {computed}, {device.device_name()}, 1 thread"
        )
    if crops is not None and crops <= EAGER_MAX_CROPS and (engine, precision) == ("auto", "float32"):
        description = f"paddle {device.paddle_version()}, not compiled for few images, float32, {device.device_name()}"
        return _EagerSpec("paddle", "float32", CPUS, description)
    if engine == "auto":
        engine = next(name for name in ENGINES if not why_unavailable(name))
    elif why := why_unavailable(engine):
        raise InputError(f"--engine {engine}: {why}")
    name = f"{engine} {_version(engine)}"
    if cuda:
        if precision != "float32":
            raise InputError(f"--precision {precision}: {name} supports float32 only on a GPU; use float32")
        description = f"{name}, float32{' with TF32' * cuda.tf32}, {cuda.device}"
        return EngineSpec(engine, precision, CPUS, description, cuda)
    if precision not in cpu_precisions(engine):
        raise InputError(f"--precision {precision}: {name} does not support it on this CPU; use float32")
    threads = f"{CPUS} thread{'s' * (CPUS > 1)}"
    return EngineSpec(engine, precision, CPUS, f"{name}, {precision}, {device.device_name()}, {threads}")


def check_gpu_precision(precision: str) -> None:
    """Raise InputError if Paddle's current device is a GPU that does not support a precision."""
    if device.is_gpu():
        device.check_gpu_precision(f"--precision {precision}", precision, "use float32")


def why_unavailable(engine: str) -> str:
    """Return the reason why an engine cannot run here, with a remedy, or an empty string."""
    if engine == "onnxruntime" and not graph_export.ONNX_POSSIBLE:
        return (
            f"needs Paddle 3 for the export to ONNX, this is Paddle {device.paddle_version()}; use openvino or paddle"
        )
    required = {"paddle": [], "openvino": ["openvino"], "onnxruntime": ["onnxruntime", "paddle2onnx"]}[engine]
    missing = [package for package in required if not find_spec(package)]
    return f"is not installed: {_install(missing)}" if missing else ""


def why_no_onnx() -> str:
    """Return the reason why a checkpoint cannot be exported as ONNX here, with a remedy, or an empty string."""
    if not graph_export.ONNX_POSSIBLE:
        return f"requires Paddle 3, this is Paddle {device.paddle_version()}; use --format paddle"
    missing = [package for package in ("onnx", "onnxruntime", "paddle2onnx") if not find_spec(package)]
    return f"needs packages that are not installed: {_install(missing)}" if missing else ""


def _install(packages: list[str]) -> str:
    """Return the command that installs packages, or the reason why that fails."""
    if "paddle2onnx" in packages and sys.version_info >= (3, 13):
        return "paddle2onnx has no release for Python 3.13; use Python 3.10 to 3.12"
    return f"pip install {' '.join(packages)}"


def _version(engine: str) -> str:
    if engine == "onnxruntime":  # onnxruntime or onnxruntime-gpu
        return str(onnx_sessions.import_onnxruntime().__version__)
    return device.paddle_version() if engine == "paddle" else version(engine)


def cpu_precisions(engine: str) -> set[str]:
    """Return the precisions of `chexnet.config.PRECISIONS` that an engine reports to support on this CPU."""
    if engine == "openvino":
        capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        # OpenVINO emulates other precisions on some CPUs, and silently computes float32 on others.
        names = {"BF16": "bfloat16", "FP16": "float16"}
        return {"float32"} | {name for capability, name in names.items() if capability in capabilities}
    # Paddle 2.6 reports bfloat16 on CPUs with AVX512_BF16, but has no dequantize kernel for it there.
    if engine == "paddle" and not device.paddle_version().startswith("2."):
        return {"float32", *(["bfloat16"] if device.paddle.base.core.supports_bfloat16_fast_performance() else [])}
    return {"float32"}
