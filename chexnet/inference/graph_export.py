"""Export the network as a graph for other engines: uint8 gray images -> probabilities or class maps."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet import device

if TYPE_CHECKING:
    from chexnet.device import paddle
    from chexnet.model import CheXNet

INPUT = "images"
"""Name of the only input of a graph."""

ONNX_POSSIBLE = not device.paddle_version().startswith("2.")
"""paddle2onnx reads only the programs of Paddle 3."""

ONNX_OPSET = 17
"""Version of ONNX's operators in our graphs."""

_PROBE_SIZE = 1 << 16
"""Bytes to append in a test for free space: more than the largest block of common file systems."""


def save_program(
    network: "CheXNet", folder: str | os.PathLike[str], crop: int | None, maps: bool = False, window: int | None = None
) -> Path:
    """Write the network as an inference program of this Paddle version.

    The program maps uint8 [N, 1, crop, crop] to probabilities float32 [N, out_size] or, with `maps`, to class maps
    float32 [N, out_size, h, w], see `CheXNet.class_activation_maps`. It includes normalization and sigmoid. With
    `crop=None`, it takes images uint8 [N, 1, H, W] of any size. With `window` as well, the probabilities are those of
    dense evaluation of each image and its mirror image, see `chexnet.inference.cam.dense_probabilities`.

    Returns:
        The program file, `model.json` (Paddle 3) or `model.pdmodel`. Its weights are in `model.pdiparams` in the same
        folder.

    Raises:
        OSError: the files cannot be written.
    """
    prefix = Path(folder) / "model"
    network.eval()
    graph = _dense_graph(network, window) if window else _graph(network, "class_activation_maps" if maps else "forward")
    device.paddle.jit.save(graph, str(prefix), input_spec=[_input(crop)])
    program = prefix.with_suffix(".json")
    return _check_free_space(program if program.exists() else prefix.with_suffix(".pdmodel"))


def save_logits_program(
    network: "CheXNet", folder: str | os.PathLike[str], crop: int | None, maps: bool = False
) -> Path:
    """Write the network up to its logits in the program format of Paddle 2, which OpenVINO reads.

    The program has no sigmoid, because Paddle 3 cannot write that operation in the old format. With `maps`, it
    computes class maps instead, as in `save_program`. paddle2onnx is not needed.

    Returns:
        `model.pdmodel`. Its weights are in `model.pdiparams` in the same folder.

    Raises:
        OSError: the files cannot be written.
    """
    prefix = Path(folder) / "model"
    network.eval()
    with _old_format():
        graph = _graph(network, "class_activation_maps" if maps else "logits")
        program = device.paddle.jit.to_static(graph, input_spec=[_input(crop)], full_graph=True)
        device.paddle.jit.save(program, str(prefix))
    return _check_free_space(prefix.with_suffix(".pdmodel"))


def save_onnx(
    network: "CheXNet", folder: str | os.PathLike[str], crop: int | None, maps: bool = False, window: int | None = None
) -> Path:
    """Write the network as ONNX, with the input and output of `save_program`.

    Requires the package paddle2onnx, and that ONNX_POSSIBLE is true.

    Returns:
        `model.onnx`.

    Raises:
        OSError: the files cannot be written.
    """
    import paddle2onnx

    program = save_program(network, folder, crop, maps, window)
    path = program.with_suffix(".onnx")
    with _stdout_redirected():
        # The default optimize_tool installs a package.
        paddle2onnx.export(
            str(program),
            str(program.with_suffix(".pdiparams")),
            str(path),
            opset_version=ONNX_OPSET,
            optimize_tool=None,
        )
    return path


def _check_free_space(program: Path) -> Path:
    """Return the program, or raise OSError if the disk is full.

    Paddle's compiled writer does not report a full disk, and its reader crashes on truncated files. If the writer ran
    out of space, appending to its files fails as well.
    """
    for path in (program, program.with_suffix(".pdiparams")):
        with open(path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.write(bytes(_PROBE_SIZE))
            file.flush()
            file.truncate(size)
    return program


def _graph(network: "CheXNet", method: str) -> "paddle.nn.Layer":
    """Return one method of a network, to be traced."""
    return _traced(network, getattr(network, method))


def _dense_graph(network: "CheXNet", window: int) -> "paddle.nn.Layer":
    """Return dense evaluation of images and their mirror images, to be traced."""
    from chexnet.model.backbones.base import global_avg_pool

    functional = device.paddle.nn.functional

    def dense(images: "paddle.Tensor") -> "paddle.Tensor":
        bias = network.backbone.classifier.bias.reshape([1, -1, 1, 1])
        means = []
        for view in (images, images[:, :, :, ::-1]):  # paddle2onnx cannot export `flip`
            windows = functional.avg_pool2d(network.class_activation_maps(view), window, stride=1)
            means.append(global_avg_pool(functional.sigmoid(windows + bias)))
        return (means[0] + means[1]) / 2

    return _traced(network, dense)


def _traced(network: "CheXNet", compute: Callable[["paddle.Tensor"], "paddle.Tensor"]) -> "paddle.nn.Layer":
    """Return a function of a network's weights as a layer, which can be traced.

    `not_to_static` keeps Paddle from rewriting the code for control flow that depends on tensors, and from storing the
    result in the home folder.
    """

    class Graph(device.paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        @device.paddle.jit.not_to_static  # type: ignore[untyped-decorator]
        def forward(self, images: "paddle.Tensor") -> "paddle.Tensor":
            return compute(images)

    return Graph()


def _input(crop: int | None) -> "paddle.static.InputSpec":
    return device.paddle.static.InputSpec([None, 1, crop, crop], "uint8", name=INPUT)


def _old_format() -> AbstractContextManager[None]:
    try:
        from paddle.pir_utils import DygraphOldIrGuard
    except ImportError:  # Paddle 2 has only this format
        return nullcontext()
    return DygraphOldIrGuard()


@contextmanager
def _stdout_redirected() -> Iterator[None]:
    """Discard what Python code and compiled code write to standard output."""
    sys.stdout.flush()
    saved = os.dup(1)
    with open(os.devnull, "w", encoding="utf-8") as null, redirect_stdout(null):
        os.dup2(null.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(saved, 1)
            os.close(saved)
