"""Measure inference and training on a GPU: this library in ONNX Runtime and Paddle, and PyTorch as a reference.

    python -m benchmarks.gpu
    python -m benchmarks.gpu onnxruntime torch_training --batch_size 64

Each case runs DenseNet-121 at 224 pixels on random images that are in memory, in its own process, and is left out with
the reason where it cannot run. PyTorch trains in the channels-last layout. Without a card, nothing is measured.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.harness import in_subprocess, rate
from chexnet import cli
from chexnet.config import EvalConfig
from chexnet.config.argument_types import positive_int
from chexnet.errors import InputError
from chexnet.files import check_writable, write_text

if TYPE_CHECKING:
    import numpy as np

    from chexnet.inference.engine_backends import Engine

SIDE = 224
STEPS = 20
"""Training steps per repetition."""

Measurement = tuple[str, str, list[float]]
"""Description, unit and one value per repetition."""


def onnxruntime(batch: int, repetitions: int) -> list[Measurement]:
    """The exported network in ONNX Runtime with CUDA, from uint8 in memory to probabilities in memory."""
    from chexnet import model
    from chexnet.inference import engines

    cuda = engines.set_device("onnxruntime", "gpu")
    spec = engines.select_engine("onnxruntime", cuda=cuda)
    return [_inference(spec.description, spec.compile(model.CheXNet(), SIDE), repetitions)]


def paddle_inference(batch: int, repetitions: int) -> list[Measurement]:
    """The network in Paddle, as eval.py runs it on a GPU."""
    from chexnet import device, model
    from chexnet.inference import engines

    device.set_device("gpu")
    network = model.CheXNet()
    found = []
    for precision in ("float32", "float16", "bfloat16"):
        if device.gpu_supports(precision):
            spec = engines.select_engine("paddle", precision)
            found.append(_inference(spec.description, spec.compile(network, SIDE), repetitions))
    return found


def paddle_training(batch: int, repetitions: int) -> list[Measurement]:
    """Training steps of this library, with Adam and binary cross-entropy, without reading images."""
    from chexnet import device
    from chexnet.config import AMP_LEVELS
    from chexnet.device import paddle
    from chexnet.model import CheXNet
    from chexnet.training import AUROC, BinaryCrossEntropy
    from chexnet.training.training_step import TrainingModel

    device.set_device("gpu")
    images, labels = _gray(batch), _labels(batch)
    found = []
    for level in AMP_LEVELS:
        network, metric = CheXNet(), AUROC()
        metric.compute_now = False
        optimizer = paddle.optimizer.Adam(1e-3, parameters=network.parameters(), use_multi_tensor=True)
        model = TrainingModel(network, BinaryCrossEntropy(), metric, optimizer, level)

        def steps(model: TrainingModel = model, metric: AUROC = metric) -> None:
            for _ in range(STEPS):
                model.train_batch([images], [labels])
            metric.reset()
            paddle.device.synchronize()

        found.append(_measured(f"Paddle, --amp {level}", "images/s", steps, STEPS * batch, repetitions))
    return found


def torch_training(batch: int, repetitions: int) -> list[Measurement]:
    """The same training steps in PyTorch, channels-last, with and without mixed precision."""
    import torch

    from tests.support.torch_densenet import TorchCheXNet

    if not torch.cuda.is_available():
        raise InputError(f"PyTorch {torch.__version__} finds no GPU")
    images = torch.randn(batch, 3, SIDE, SIDE, device="cuda").to(memory_format=torch.channels_last)
    labels = torch.from_numpy(_labels(batch)).cuda()
    found = []
    for name, dtype in (("float32", None), ("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        network = TorchCheXNet().cuda().to(memory_format=torch.channels_last).train()
        network.densenet121.classifier = network.densenet121.classifier[0]  # logits
        optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
        scaler = torch.amp.GradScaler("cuda", enabled=dtype is torch.float16)

        def steps(network=network, optimizer=optimizer, scaler=scaler, dtype=dtype) -> None:
            for _ in range(STEPS):
                with torch.autocast("cuda", dtype or torch.float16, enabled=dtype is not None):
                    logits = network(images)
                loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad(set_to_none=True)
            torch.cuda.synchronize()

        tf32 = "with" if torch.backends.cudnn.allow_tf32 else "without"
        description = f"PyTorch {torch.__version__}, channels-last, {name}, convolutions {tf32} TF32"
        found.append(_measured(description, "images/s", steps, STEPS * batch, repetitions))
    return found


CASES: dict[str, Callable[[int, int], list[Measurement]]] = {
    case.__name__: case for case in (onnxruntime, paddle_inference, paddle_training, torch_training)
}


def _gray(count: int) -> "np.ndarray":
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (count, 1, SIDE, SIDE), np.uint8)


def _labels(count: int) -> "np.ndarray":
    import numpy as np

    return np.random.default_rng(1).integers(0, 2, (count, 14)).astype(np.float32)


def _inference(description: str, engine: "Engine", repetitions: int) -> Measurement:
    images = _gray(engine.preferred_batch_size)
    return _measured(description, "crops/s", lambda: engine.predict(images), len(images), repetitions)


def _measured(description: str, unit: str, work: Callable[[], object], count: int, repetitions: int) -> Measurement:
    """Measure after one pass that compiles kernels and selects algorithms."""
    work()
    measure = rate(work, count)
    return description, unit, [measure() for _ in range(repetitions)]


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Measure inference and training on a GPU.", __doc__)
    parser.prog = "python -m benchmarks.gpu"
    add = parser.add_argument
    add("cases", nargs="*", metavar="CASE", help=f"cases to run (default: all): {', '.join(CASES)}")
    add("--batch_size", type=positive_int, default=EvalConfig.batch_size, metavar="N", help="images per training step")
    add("--repetitions", type=positive_int, default=5, metavar="N", help="repetitions of each measurement")
    add("--output_json", default="benchmarks/gpu.json", metavar="FILE.json", help="write all values to this file")
    return parser


def run_benchmarks(args: argparse.Namespace) -> None:
    """Run the cases, print and write the results."""
    from chexnet.gpu.cards import find_cards

    names = args.cases or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        raise InputError(f"{unknown[0]}: is not one of {', '.join(CASES)}")
    check_writable(args.output_json, ".json", protected=())
    cards = find_cards()
    if not cards.cards:
        raise InputError(f"nothing is measured without an NVIDIA card: {cards.problem}")
    cli.echo("\n".join([f"driver {cards.driver}", *map(str, cards.cards)]))
    results = []
    for description, unit, values in _results(names, args.batch_size, args.repetitions):
        cli.echo(f"  {description}: " + (f"{median(values):.4g} {unit}" if values else unit))
        results.append({"description": description, "unit": unit, "values": values})
        machine = {"driver": cards.driver, "cards": [asdict(card) for card in cards.cards], "batch": args.batch_size}
        write_text(args.output_json, json.dumps({"machine": machine, "results": results}, indent=2) + "\n")


def _results(names: Sequence[str], batch: int, repetitions: int) -> Iterator[Measurement]:
    """Yield the measurements; a case that cannot run has no values, and the reason instead of the unit."""
    for name in names:
        try:
            yield from in_subprocess(CASES[name], batch, repetitions)
        except Exception as error:  # one case must not end the others
            yield name, f"not available: {type(error).__name__}: {' '.join(str(error).split())[:300]}", []


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), run_benchmarks, argv)


if __name__ == "__main__":
    sys.exit(main())
