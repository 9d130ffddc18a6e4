"""Run a network with Paddle, OpenVINO or ONNX Runtime.

On a GPU, the network runs in Paddle's eager mode. On a CPU, it is exported and compiled, which is several times faster
than eager mode; see docs/performance.md.
"""

import os
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np

from chexnet import device, gpu_memory
from chexnet.config import CPUS, ENGINES
from chexnet.device import paddle
from chexnet.errors import InputError
from chexnet.files import temporary_folder
from chexnet.inference import graph_export
from chexnet.model import CheXNet

EAGER_MAX_CROPS = 40
"""On a CPU, eager Paddle predicts up to this number of crops in less time than another engine needs to compile."""


class Engine(ABC):
    """A compiled network.

    Attributes:
        preferred_batch_size: preferred number of crops per call of `predict`, a compromise between speed and memory.
    """

    preferred_batch_size: int

    @abstractmethod
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predict crops: uint8 [N, 1, crop, crop] -> probabilities float32 [N, out_size].

        An engine compiled with `maps` returns class maps float32 [N, out_size, h, w] instead, see
        `CheXNet.class_activation_maps`.
        """


@dataclass(frozen=True)
class EngineSpec:
    """An engine that is available on this machine.

    Attributes:
        engine: `paddle`, `openvino` or `onnxruntime`.
        precision: `float32`, `bfloat16` or `float16`.
        threads: number of CPU threads.
        description: engine, precision, device and threads, as text.
    """

    engine: str
    precision: str
    threads: int
    description: str

    def compile(self, network: CheXNet, crop: int, maps: bool = False) -> Engine:
        """Compile a network for square images of `crop` pixels, to return probabilities or, with `maps`, class maps.

        `chexnet.inference.cam.probabilities` computes probabilities from class maps, so one pass gives both.
        """
        if device.is_gpu():
            return _EagerEngine(network, maps, self.precision, gpu_memory.crops_per_pass(crop))
        with temporary_folder() as folder:
            if self.engine == "paddle":
                return _PaddleInference(
                    graph_export.save_program(network, folder, crop, maps), self.precision, self.threads
                )
            if self.engine == "onnxruntime":
                return _OnnxRuntime(graph_export.save_onnx(network, folder, crop, maps), self.threads)
            return _OpenVINO(network, folder, crop, maps, self.precision, self.threads)


@dataclass(frozen=True)
class _EagerSpec(EngineSpec):
    """Paddle's eager mode on a CPU, for few images."""

    def compile(self, network: CheXNet, crop: int, maps: bool = False) -> Engine:
        return _EagerEngine(network, maps)


def select_engine(engine: str = "auto", precision: str = "float32", crops: int | None = None) -> EngineSpec:
    """Choose an engine for Paddle's current device.

    Args:
        engine: one of `chexnet.config.ENGINES`, or `auto`: Paddle on a GPU, otherwise the fastest installed engine.
        precision: one of `chexnet.config.PRECISIONS`. Weights are float32; lower precision is faster.
        crops: total number of crops to compute, None if unknown. On a CPU, `auto` does not compile for few crops.

    Raises:
        InputError: the engine is not installed, does not run on this device, or does not support the precision.
    """
    if device.is_gpu():
        if engine not in ("auto", "paddle"):
            raise InputError(f"--engine {engine}: runs on the CPU only; add --device cpu, or use --engine paddle")
        check_gpu_precision(precision)
        computed = f"{precision}{device.tf32_note()}"
        return EngineSpec(
            "paddle", precision, 1, f"paddle {paddle.__version__}, {computed}, {device.device_name()}, 1 thread"
        )
    if crops is not None and crops <= EAGER_MAX_CROPS and (engine, precision) == ("auto", "float32"):
        description = f"paddle {paddle.__version__}, not compiled for few images, float32, {device.device_name()}"
        return _EagerSpec("paddle", "float32", CPUS, description)
    if engine == "auto":
        engine = next(name for name in ENGINES if not why_unavailable(name))
    elif why := why_unavailable(engine):
        raise InputError(f"--engine {engine}: {why}")
    name = f"{engine} {_version(engine)}"
    if precision not in _precisions(engine):
        raise InputError(f"--precision {precision}: {name} does not support it on this CPU; use float32")
    threads = f"{CPUS} thread{'s' * (CPUS > 1)}"
    return EngineSpec(engine, precision, CPUS, f"{name}, {precision}, {device.device_name()}, {threads}")


def check_gpu_precision(precision: str) -> None:
    """Raise InputError if Paddle's current device is a GPU that does not support a precision."""
    if device.is_gpu():
        device.check_gpu_precision(f"--precision {precision}", precision, "use float32")


def load_exported(path: Path) -> Engine:
    """Load an exported file on the CPU: `.onnx` with ONNX Runtime, a Paddle program with Paddle Inference."""
    return _OnnxRuntime(path) if path.suffix == ".onnx" else _PaddleInference(path)


class _EagerEngine(Engine):
    """A network in Paddle's eager mode."""

    def __init__(
        self, network: CheXNet, maps: bool, precision: str = "float32", preferred_batch_size: int = 10
    ) -> None:
        self._predict = network.predict_cam if maps else network.predict
        self.precision = precision
        self.preferred_batch_size = preferred_batch_size

    def predict(self, images: np.ndarray) -> np.ndarray:
        reduced = self.precision != "float32"
        with (
            gpu_memory.out_of_memory_as_input_error(
                f"a pass of {len(images)} crops", "use a lower --batch_size, --crops 1 or --device cpu"
            ),
            paddle.amp.auto_cast(reduced, dtype=self.precision if reduced else "float16"),
        ):
            return self._predict(images)


class _PaddleInference(Engine):
    """Paddle Inference with oneDNN."""

    preferred_batch_size = 10

    def __init__(self, program: Path, precision: str = "float32", threads: int = CPUS) -> None:
        from paddle import inference

        config = inference.Config(str(program), str(program.with_suffix(".pdiparams")))
        config.disable_gpu()
        config.disable_glog_info()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(threads)
        if hasattr(config, "enable_new_ir"):  # Paddle 3
            config.enable_new_ir(True)
        config.enable_new_executor(True)
        if precision == "bfloat16":
            config.enable_mkldnn_bfloat16()
        self._predictor = inference.create_predictor(config)
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def predict(self, images: np.ndarray) -> np.ndarray:
        self._input.copy_from_cpu(images)
        self._predictor.run()
        return self._output.copy_to_cpu()


class _OpenVINO(Engine):
    """OpenVINO with one crop per request, on asynchronous single-thread streams: a crop fits the cache of a core."""

    preferred_batch_size = 80

    def __init__(self, network: CheXNet, folder: Path, crop: int, maps: bool, precision: str, threads: int) -> None:
        openvino = _openvino()
        core = openvino.Core()
        model = core.read_model(graph_export.save_logits_program(network, folder, crop, maps))
        if not maps:
            sigmoid = openvino.opset13.sigmoid(model.get_results()[0].input_value(0))
            model = openvino.Model([sigmoid], model.get_parameters())
        model.reshape([1, 1, crop, crop])
        settings = {
            # By default, OpenVINO computes in bfloat16 where the CPU supports it.
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
        }
        compiled = core.compile_model(model, "CPU", settings)
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != settings["INFERENCE_PRECISION_HINT"]:
            raise InputError(f"--precision {precision}: OpenVINO does not support it on this CPU; use float32")
        self._shape = tuple(compiled.output(0).shape)[1:]
        self._queue = openvino.AsyncInferQueue(compiled, threads)
        self._queue.set_callback(lambda request, row: np.copyto(row, request.get_output_tensor(0).data[0]))

    def predict(self, images: np.ndarray) -> np.ndarray:
        outputs = np.empty((len(images), *self._shape), dtype=np.float32)
        for image, row in zip(images, outputs, strict=True):
            self._queue.start_async({0: image[None]}, row)
        self._queue.wait_all()
        return outputs


class _OnnxRuntime(Engine):
    """ONNX Runtime."""

    preferred_batch_size = 20

    def __init__(self, path: Path, threads: int = CPUS) -> None:
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only; the warnings are about unused constants of the export
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self._session.run(None, {graph_export.INPUT: images})[0]


def why_unavailable(engine: str) -> str:
    """Return the reason why an engine cannot run here, with a remedy, or an empty string."""
    if engine == "onnxruntime" and not graph_export.ONNX_POSSIBLE:
        return f"requires Paddle 3 for the export to ONNX, this is Paddle {paddle.__version__}; use openvino or paddle"
    required = {"paddle": [], "openvino": ["openvino"], "onnxruntime": ["onnxruntime", "paddle2onnx"]}[engine]
    missing = [package for package in required if not find_spec(package)]
    return f"is not installed: pip install {' '.join(missing)}" if missing else ""


def _version(engine: str) -> str:
    return paddle.__version__ if engine == "paddle" else version(engine)


def _precisions(engine: str) -> set[str]:
    """Return the precisions of `chexnet.config.PRECISIONS` that an engine reports to support on this CPU."""
    if engine == "openvino":
        capabilities = _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        # OpenVINO emulates other precisions on some CPUs, and silently computes float32 on others.
        names = {"BF16": "bfloat16", "FP16": "float16"}
        return {"float32"} | {name for capability, name in names.items() if capability in capabilities}
    # Paddle 2.6 reports bfloat16 on CPUs with AVX512_BF16, but has no dequantize kernel for it there.
    if engine == "paddle" and not paddle.__version__.startswith("2."):
        return {"float32", *(["bfloat16"] if paddle.base.core.supports_bfloat16_fast_performance() else [])}
    return {"float32"}


def _openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which reports each import to a server of the vendor."""
    hidden = sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    finally:
        if hidden is None:
            del sys.modules["openvino_telemetry"]
    return openvino


def _onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry, which exists since version 1.29."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, at import
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # in case another module imported it before
    return onnxruntime
