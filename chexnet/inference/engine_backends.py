"""The engines that run a network: Paddle's eager mode, Paddle Inference, OpenVINO and ONNX Runtime."""

import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from chexnet import device, gpu_memory
from chexnet.config import CPUS
from chexnet.errors import InputError
from chexnet.inference import graph_export, onnx_sessions
from chexnet.inference.onnx_sessions import Cuda

if TYPE_CHECKING:
    from chexnet.model import CheXNet


class Engine(ABC):
    """A compiled network.

    Attributes:
        preferred_batch_size: preferred number of crops per call of `predict`, a compromise between speed and memory.
    """

    preferred_batch_size: int

    @abstractmethod
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predict crops: uint8 [N, 1, crop, crop] -> probabilities float32 [N, out_size].

        An engine compiled for any size takes uint8 [N, 1, H, W]. One compiled with `maps` returns class maps float32
        [N, out_size, h, w], see `CheXNet.class_activation_maps`.
        """


class Graph(NamedTuple):
    """A network as OpenVINO (its IR) or ONNX Runtime (ONNX, with the weights in the program) reads it."""

    program: bytes
    weights: bytes


class EagerEngine(Engine):
    """A network in Paddle's eager mode on the CPU, in float32."""

    preferred_batch_size = 10

    def __init__(self, network: "CheXNet", maps: bool) -> None:
        self._predict = network.predict_cam if maps else network.predict

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predict crops, see `Engine.predict`."""
        return self._predict(images)


class GpuEngine(EagerEngine):
    """A network in Paddle's eager mode on a GPU, for images of `crop` pixels or, with None, of any size."""

    def __init__(self, network: "CheXNet", maps: bool, precision: str, crop: int | None) -> None:
        super().__init__(network, maps)
        self.precision = precision
        self.preferred_batch_size = gpu_memory.crops_per_pass(crop)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predict crops, see `Engine.predict`.

        Raises:
            InputError: the memory of the GPU does not suffice.
        """
        reduced = self.precision != "float32"
        with (
            gpu_memory.out_of_memory_as_input_error(
                f"a pass of {len(images)} crops", "use a lower --batch_size, --crops 1 or --device cpu"
            ),
            device.paddle.amp.auto_cast(reduced, dtype=self.precision if reduced else "float16"),
        ):
            return super().predict(images)


class PaddleInferenceEngine(Engine):
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
        _restore_threads()
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predict crops, see `Engine.predict`."""
        self._input.copy_from_cpu(images)
        self._predictor.run()
        _restore_threads()
        return self._output.copy_to_cpu()


def _restore_threads() -> None:
    """Give Paddle's operators their number of threads back, on which the last bits of a training depend.

    Paddle Inference leaves its own number after it compiles, and 1 after each run.
    """
    number = os.environ.get("OMP_NUM_THREADS", "1").split(",")[0]
    device.paddle.base.core.set_num_threads(int(number) if number.isdecimal() else 1)


class OpenVINOEngine(Engine):
    """OpenVINO with one crop per request, on asynchronous single-thread streams: a crop fits the cache of a core."""

    preferred_batch_size = 80

    def __init__(self, graph: Graph, precision: str, threads: int) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        model = core.read_model(graph.program, graph.weights)
        settings = {
            # By default, OpenVINO computes in bfloat16 where the CPU supports it.
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
        }
        compiled = core.compile_model(model, "CPU", settings)
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != settings["INFERENCE_PRECISION_HINT"]:
            raise InputError(f"--precision {precision}: OpenVINO does not support it on this CPU; use float32")
        self._queue = openvino.AsyncInferQueue(compiled, threads)
        self._queue.set_callback(lambda request, output: output.append(request.get_output_tensor(0).data.copy()))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predict crops, see `Engine.predict`."""
        outputs: list[list[np.ndarray]] = [[] for _ in images]
        for image, output in zip(images, outputs, strict=True):
            self._queue.start_async({0: image[None]}, output)
        self._queue.wait_all()
        return np.concatenate([output[0] for output in outputs])


def export_ir(network: "CheXNet", folder: Path, crop: int | None, maps: bool) -> Graph:
    """Convert a network to OpenVINO's IR for batches of one image, with float32 weights."""
    openvino = import_openvino()
    model = openvino.Core().read_model(graph_export.save_logits_program(network, folder, crop, maps))
    if not maps:
        sigmoid = openvino.opset13.sigmoid(model.get_results()[0].input_value(0))
        model = openvino.Model([sigmoid], model.get_parameters())
    side = crop or -1  # -1: any; as fast as a fixed size, and the memory does not grow with the number of sizes
    model.reshape([1, 1, side, side])
    path = folder / "ir.xml"
    openvino.save_model(model, path, compress_to_fp16=False)
    return Graph(path.read_bytes(), path.with_suffix(".bin").read_bytes())


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime."""

    def __init__(self, model: str | bytes, threads: int = CPUS, cuda: Cuda | None = None) -> None:
        self._session = onnx_sessions.create_session(model, threads, cuda)
        self.preferred_batch_size = 160 if cuda else 20
        self._padded_size = 1 if cuda else 0

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predict crops, see `Engine.predict`."""
        count = len(images)
        if self._padded_size:
            # cuDNN tries its algorithms for each new batch size, so a smaller batch is padded to an earlier size.
            self._padded_size = max(self._padded_size, count)
            images = np.concatenate([images, np.repeat(images[-1:], self._padded_size - count, axis=0)])
        return self._session.run(None, {graph_export.INPUT: images})[0][:count]


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which reports each import to a server of the vendor."""
    hidden = sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    finally:
        if hidden is None:
            del sys.modules["openvino_telemetry"]
    return openvino
