"""Exported crop graphs, for tests to run."""

from pathlib import Path

from chexnet.inference.engine_backends import Engine, OnnxRuntimeEngine, PaddleInferenceEngine


def load_exported(path: Path) -> Engine:
    """Load an exported file on the CPU: `.onnx` with ONNX Runtime, a Paddle program with Paddle Inference."""
    return OnnxRuntimeEngine(str(path)) if path.suffix == ".onnx" else PaddleInferenceEngine(path)
