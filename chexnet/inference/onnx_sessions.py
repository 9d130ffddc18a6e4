"""Sessions of ONNX Runtime, on the CPU or with CUDA.

The package onnxruntime-gpu contains CUDA's provider, but loads CUDA's libraries and the driver only for a session. If
that fails, it prints a message and computes on the CPU. `why_no_cuda` tries it with a graph of one operation.
"""

import ctypes
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from chexnet.errors import InputError

INSTALL = 'pip uninstall -y onnxruntime; pip install "onnxruntime-gpu[cuda,cudnn]" paddle2onnx'
"""Commands that install ONNX Runtime with CUDA. onnxruntime and onnxruntime-gpu overwrite each other's files."""

CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True)
class Cuda:
    """Settings of a session with CUDA.

    Attributes:
        device: name of the device.
        tf32: True lets it round the factors of float32 products to TF32.
    """

    device: str
    tf32: bool = False


class CudaDevice(NamedTuple):
    """CUDA's first device, according to the driver: `GPU <name>`, and compute capability, (0, 0) if unknown."""

    name: str
    capability: tuple[int, int]


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry, which exists since version 1.29."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, at import
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # in case another module imported it before
    return onnxruntime


def create_session(model: str | bytes, threads: int, cuda: Cuda | None = None) -> Any:
    """Return an `onnxruntime.InferenceSession`.

    Args:
        model: path of an ONNX file, or its content.
        threads: number of CPU threads.
        cuda: settings for the GPU; None computes on the CPU.

    Raises:
        InputError: `cuda` is given, but ONNX Runtime uses the CPU instead.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only; the warnings are about unused constants of the export
    if cuda is None:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # cuDNN tries its algorithms once per shape of the input.
    settings = {"use_tf32": str(int(cuda.tf32)), "cudnn_conv_algo_search": "EXHAUSTIVE"}
    providers = [(CUDA, settings), "CPUExecutionProvider"]  # the CPU computes shapes only
    with _captured_output():
        # Finds the libraries in NVIDIA's packages. onnxruntime-gpu before 1.21 needs LD_LIBRARY_PATH instead.
        getattr(onnxruntime, "preload_dlls", lambda: None)()
    with _captured_output() as output:
        try:
            session = onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
            reason = "" if CUDA in session.get_providers() else _reason(output())
        except Exception as error:  # various types
            reason = _reason(f"{output()}\n{error}")
    if reason:
        raise InputError(f"ONNX Runtime {onnxruntime.__version__} cannot use CUDA: {reason}")
    return session


def why_no_cuda() -> str:
    """Return the reason why ONNX Runtime cannot compute on a GPU here, with a remedy, or an empty string."""
    if not (find_spec("onnxruntime") and find_spec("onnx")):
        return f"ONNX Runtime for GPUs is not installed: {INSTALL}"
    onnxruntime = import_onnxruntime()
    if CUDA not in onnxruntime.get_available_providers():
        return f"ONNX Runtime {onnxruntime.__version__} is the CPU build: {INSTALL}"
    try:
        session = create_session(_sigmoid(), threads=1, cuda=Cuda("GPU"))
        with _captured_output():
            session.run(None, {"x": np.zeros(1, np.float32)})  # fails if the package has no code for the card
    except InputError as error:
        return str(error)
    except Exception as error:  # various types
        return f"ONNX Runtime {onnxruntime.__version__} cannot use CUDA: {_reason(str(error))}"
    return ""


def cuda_device() -> CudaDevice:
    """Return CUDA's first device."""
    name, device = ctypes.create_string_buffer(256), ctypes.c_int()
    major, minor = ctypes.c_int(), ctypes.c_int()
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        failed = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0)
        failed = failed or driver.cuDeviceGetName(name, len(name), device)
        for number, attribute in ((major, 75), (minor, 76)):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
            failed = failed or driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
    except (OSError, AttributeError):
        failed = True
    if failed:
        return CudaDevice("GPU", (0, 0))
    return CudaDevice(f"GPU {name.value.decode(errors='replace')}", (major.value, minor.value))


def _sigmoid() -> bytes:
    """Return an ONNX model of one operation; the package onnx is required by paddle2onnx."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Sigmoid", ["x"], ["y"])], "sigmoid", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def _reason(output: str) -> str:
    """Return the reason for a failure in what ONNX Runtime printed."""
    if "libcuda.so" in output:
        return "NVIDIA's driver is not installed (libcuda.so.1 is missing)"
    if missing := re.search(r"(\S+): cannot open shared object file", output):
        return f"{missing[1]} is missing: {INSTALL}"
    if failure := re.search(r"CUDA (?:failure|error) \d+: ([^;\n]+)", output):
        return failure[1].strip()
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "its CUDA provider does not start, without a reason"


@contextmanager
def _captured_output() -> Iterator[Callable[[], str]]:
    """Redirect standard output and standard error, of compiled code too; yields a function that returns the text."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file,
        redirect_stdout(file),
        redirect_stderr(file),
    ):
        saved = [(stream, os.dup(stream)) for stream in (1, 2)]

        def text() -> str:
            file.seek(0)
            return file.read()  # to the end, where compiled code continues to write

        try:
            for stream, _ in saved:
                os.dup2(file.fileno(), stream)
            yield text
        finally:
            for stream, copy in saved:
                os.dup2(copy, stream)
                os.close(copy)
