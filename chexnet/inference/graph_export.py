"""The network as a graph that other engines run: uint8 gray in, probabilities or class maps out."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from pathlib import Path

from chexnet.device import paddle
from chexnet.model import CheXNet

INPUT = "images"
"""Name of the graphs' one input."""

ONNX_POSSIBLE = not paddle.__version__.startswith("2.")
"""paddle2onnx reads the programs of Paddle 3 only."""


_ROOM = 1 << 16
"""Bytes, more than a file system gives a file at a time."""


def save_program(network: CheXNet, folder: str | os.PathLike[str], crop: int, maps: bool = False) -> Path:
    """Writes the network as this Paddle's own inference program.

    The program takes uint8 [N, 1, crop, crop] and gives float32 [N, out_size] in 0..1 or, with `maps`, the
    float32 [N, out_size, h, w] of `CheXNet.class_maps`; normalisation and sigmoid are inside.

    Returns:
        The program's file, `model.json` (Paddle 3) or `model.pdmodel`; its weights stand beside it in
        `model.pdiparams`.

    Raises:
        OSError: the files cannot be written.
    """
    prefix = Path(folder) / "model"
    network.eval()
    graph = _Graph(network, "class_activation_maps" if maps else "forward")
    paddle.jit.save(graph, str(prefix), input_spec=[_input(crop)])
    program = prefix.with_suffix(".json")
    return _whole(program if program.exists() else prefix.with_suffix(".pdmodel"))


def save_logits_program(network: CheXNet, folder: str | os.PathLike[str], crop: int, maps: bool = False) -> Path:
    """Writes the network up to its logits in the program format before Paddle 3, which OpenVINO reads.

    It ends before the sigmoid because Paddle 3 cannot write that operation in the old format. Nothing is
    installed or converted on the way; paddle2onnx is not needed. With `maps` the program gives class maps
    instead, as that of `save_program` does.

    Returns:
        `model.pdmodel`; its weights stand beside it in `model.pdiparams`.

    Raises:
        OSError: the files cannot be written.
    """
    prefix = Path(folder) / "model"
    network.eval()
    with _old_format():
        graph = _Graph(network, "class_activation_maps" if maps else "logits")
        program = paddle.jit.to_static(graph, input_spec=[_input(crop)], full_graph=True)
        paddle.jit.save(program, str(prefix))
    return _whole(prefix.with_suffix(".pdmodel"))


def save_onnx(network: CheXNet, folder: str | os.PathLike[str], crop: int, maps: bool = False) -> Path:
    """Writes the network as ONNX, with the input and output of `save_program`.

    Needs the package paddle2onnx, and ONNX_POSSIBLE.

    Returns:
        `model.onnx`.

    Raises:
        OSError: the files cannot be written.
    """
    import paddle2onnx

    program = save_program(network, folder, crop, maps)
    path = program.with_suffix(".onnx")
    with _stdout_redirected():
        # Its default optimize_tool installs a package while it runs.
        paddle2onnx.export(str(program), str(program.with_suffix(".pdiparams")), str(path), optimize_tool=None)
    return path


def _whole(program: Path) -> Path:
    """The program, if the disk has room for more than it and its weights.

    Paddle's compiled writer does not say when it ran out of room, and what reads the files then ends the process.
    Where it could not go on, neither can this. Raises OSError.
    """
    for path in (program, program.with_suffix(".pdiparams")):
        with open(path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.write(bytes(_ROOM))
            file.flush()
            file.truncate(size)
    return program


class _Graph(paddle.nn.Layer):
    """One method of a network, to be recorded as it runs.

    Paddle would rewrite its code first, for control flow that depends on tensors, and keep that in the home folder.
    """

    def __init__(self, network: CheXNet, method: str) -> None:
        super().__init__()
        self.network = network
        self.method = method

    @paddle.jit.not_to_static  # type: ignore[untyped-decorator]
    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        return getattr(self.network, self.method)(images)


def _input(crop: int) -> paddle.static.InputSpec:
    return paddle.static.InputSpec([None, 1, crop, crop], "uint8", name=INPUT)


def _old_format() -> AbstractContextManager[None]:
    try:
        from paddle.pir_utils import DygraphOldIrGuard
    except ImportError:  # Paddle 2 knows no other
        return nullcontext()
    return DygraphOldIrGuard()


@contextmanager
def _stdout_redirected() -> Iterator[None]:
    """Keeps Python code and compiled code from writing to standard output."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
