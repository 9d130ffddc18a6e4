"""Compare the backbones: size, operations, speed per engine, memory, and AUROC on phantoms after the same epochs.

    python -m benchmarks.backbones --output_prefix comparison
    python -m benchmarks.backbones --output_prefix comparison --backbones densenet121 resnet50

writes comparison.json, comparison.md (a table) and comparison.png (a plot) in about two hours on two cores. Everything
runs on the CPU. Each backbone has its own processes and alternates with DenseNet-121, so that the ratios depend less on
what else the machine does.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import in_child, interleaved, rate
from chexnet import cli
from chexnet.argument_types import positive_int
from chexnet.config import BACKBONES, CPUS, DEFAULT_BACKBONE, ENGINES, EvalConfig, TrainConfig
from chexnet.files import check_writable, replacing, write_text

SIDE = 224
REPETITIONS = 5
CROPS = 20
"""Crops whose time is taken, of one repetition."""

RESIZE, CROP, EPOCHS, BATCH = 72, 64, 5, 16
"""What all of them learn with, from random weights, by the recipe's Adam; the smallest crop that all of them take."""


@dataclass(frozen=True)
class Measured:
    """What is known of one backbone.

    Attributes:
        parameters: that are trained, with a head of 14.
        multiply_adds: of one image of SIDE x SIDE, convolutions and linear layers.
        crops_per_second: by engine, this one's and DenseNet-121's median; None where the engine cannot run it.
        memory: megabytes that a process had at most that computed with the fastest engine.
        auroc: mean over the classes on the test phantoms.
        low: of its 95 % interval, by resampling patients.
        high: likewise.
        seconds: that the training took.
    """

    parameters: int
    multiply_adds: int
    crops_per_second: dict[str, tuple[float, float] | None]
    memory: float
    auroc: float
    low: float
    high: float
    seconds: float


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Compare the backbones.", __doc__)
    add = parser.add_argument
    add("--output_prefix", required=True, metavar="NAME", help="write NAME.json, NAME.md and NAME.png")
    add("--backbones", nargs="+", choices=BACKBONES, default=BACKBONES, metavar="NAME", help="backbones to compare")
    add("--images", type=positive_int, default=640, help="number of phantoms, 70 %% of them for training")
    return parser


def compare_backbones(args: argparse.Namespace) -> None:
    """Measure the backbones one after another, print and write the results."""
    from benchmarks import machine
    from chexnet.phantom import make_dataset

    for suffix in (".json", ".md", ".png"):
        check_writable(f"{args.output_prefix}{suffix}", suffix, keep=())
    found: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory(prefix="chexnet-backbones-") as folder:
        data = Path(folder) / "phantom"
        make_dataset(data, args.images, size=128, seed=0, min_prevalence=0.12)
        for name in args.backbones:
            found[name] = measure(name, data, Path(folder) / name)
            cli.echo(_row(name, found[name]))
            facts = {"machine": machine.facts(), "backbones": {name: asdict(one) for name, one in found.items()}}
            write_text(f"{args.output_prefix}.json", json.dumps(facts, indent=2) + "\n")
    write_text(f"{args.output_prefix}.md", table(found))
    draw(found, Path(f"{args.output_prefix}.png"))


def measure(name: str, data: Path, folder: Path) -> Measured:
    """Everything of one backbone."""
    parameters, multiply_adds = in_child(_work, name)
    speeds = {engine: in_child(_speeds, name, engine) for engine in ENGINES}
    auroc, low, high, seconds = in_child(_learned, name, str(data), str(folder))
    return Measured(
        parameters, multiply_adds, speeds, in_child(_memory, name), auroc=auroc, low=low, high=high, seconds=seconds
    )


def table(found: dict[str, Measured]) -> str:
    """The table in Markdown; speeds are crops a second, in brackets how many times DenseNet-121's."""
    engines = list(next(iter(found.values())).crops_per_second)
    head = ["backbone", "parameters", "multiply-adds", *engines, "memory", "mean AUROC"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *(_row(*one) for one in found.items())]
    return "\n".join(lines) + "\n"


def _row(name: str, one: Measured) -> str:
    def speed(values: tuple[float, float] | None) -> str:
        return f"{values[0]:.1f} ({values[0] / values[1]:.2f})" if values else "-"

    cells = [
        name,
        f"{one.parameters / 1e6:.2f} M",
        f"{one.multiply_adds / 1e9:.3f} G",
        *map(speed, one.crops_per_second.values()),
        f"{one.memory:.0f} MB",
        f"{one.auroc:.3f} ({one.low:.3f} to {one.high:.3f})",
    ]
    return "| " + " | ".join(cells) + " |"


def draw(found: dict[str, Measured], path: Path) -> None:
    """What each has learned, with its interval, beside the work and the speed of the fastest engine."""
    from matplotlib.figure import Figure

    names = sorted(found, key=lambda name: found[name].auroc)
    fastest = next(iter(found[names[0]].crops_per_second))
    figure = Figure(figsize=(11, 1.2 + 0.32 * len(names)), layout="constrained")
    learned, work, speed = figure.subplots(1, 3, sharey=True, width_ratios=(3, 2, 2))
    aurocs = [found[name].auroc for name in names]
    below = [found[name].auroc - found[name].low for name in names]
    above = [found[name].high - found[name].auroc for name in names]
    learned.errorbar(aurocs, names, xerr=(below, above), fmt="o", color="#0072B2", ecolor="0.6", capsize=3)
    learned.set_xlabel(f"mean AUROC on test phantoms after {EPOCHS} epochs\nat {CROP} x {CROP}, with 95 % intervals")
    work.barh(names, [found[name].multiply_adds / 1e9 for name in names], color="#E69F00")
    work.set_xlabel(f"multiply-adds of {SIDE} x {SIDE},\nthousand millions")
    rates = [found[name].crops_per_second[fastest] for name in names]
    speed.plot([one[0] / one[1] if one else math.nan for one in rates], names, "o", color="#009E73")
    speed.set(xscale="log", xlabel=f"crops a second with {fastest},\ntimes {DEFAULT_BACKBONE}'s")
    for axes in (learned, work, speed):
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _work(name: str) -> tuple[int, int]:
    """Parameters that are trained, and multiply-adds of one image."""
    import paddle
    from paddle import nn

    from chexnet.model import CheXNet

    network = CheXNet(backbone=name)
    network.eval()
    counted: list[int] = []

    def count(layer: Any, inputs: Any, output: paddle.Tensor) -> None:
        per_output = math.prod(layer.weight.shape) // (output.shape[1 if isinstance(layer, nn.Conv2D) else -1])
        counted.append(math.prod(output.shape) * per_output)

    for layer in network.sublayers():
        if isinstance(layer, nn.Conv2D | nn.Linear):
            layer.register_forward_post_hook(count)
    with paddle.no_grad():
        network(paddle.zeros([1, 1, SIDE, SIDE], "uint8"))
    parameters = sum(math.prod(one.shape) for one in network.parameters() if not one.stop_gradient)
    return parameters, sum(counted)


def _speeds(name: str, engine: str) -> tuple[float, float] | None:
    """Crops a second of this backbone and of DenseNet-121, medians of runs in turn."""
    import numpy as np

    from chexnet.engine import choose
    from chexnet.errors import InputError
    from chexnet.model import CheXNet

    crops = np.random.default_rng(0).integers(0, 256, (CROPS, 1, SIDE, SIDE), np.uint8)
    try:
        compiled = {which: choose(engine).compile(CheXNet(backbone=which), SIDE) for which in (name, DEFAULT_BACKBONE)}
    except InputError:
        return None
    sides = {which: rate(lambda one=one: one.predict(crops), CROPS) for which, one in compiled.items()}
    interleaved(sides, 1)
    values = interleaved(sides, REPETITIONS)
    return median(values[name]), median(values[DEFAULT_BACKBONE])


def _memory(name: str) -> float:
    """Megabytes that this process had at most when it predicts with the fastest engine."""
    import resource

    import numpy as np

    from chexnet.engine import choose
    from chexnet.model import CheXNet

    choose().compile(CheXNet(backbone=name), SIDE).predict(np.zeros((CROPS, 1, SIDE, SIDE), np.uint8))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _learned(name: str, data: str, folder: str) -> tuple[float, float, float, float]:
    """Mean AUROC with its interval on the test phantoms, and how long the training took, seconds."""
    from chexnet.evaluation import evaluate
    from chexnet.metrics.bootstrap import mean_over_classes, percentile_interval, resampled_aurocs
    from chexnet.training import train

    where, labels = f"{data}/images", f"{data}/labels"
    result = train(
        TrainConfig(
            data_dir=where,
            train_list=f"{labels}/train_list.txt",
            val_list=f"{labels}/val_list.txt",
            save_dir=folder,
            backbone=name,
            init="random",
            resize=RESIZE,
            crop=CROP,
            batch_size=BATCH,
            epoch=EPOCHS,
            decay_epochs=(EPOCHS - 1,),
            num_workers=min(CPUS, 2),
            device="cpu",
        )
    )
    ckpt = f"{folder}/best_model.pdparams"
    scored = evaluate(EvalConfig(data_dir=where, test_list=f"{labels}/test_list.txt", ckpt=ckpt, crops=1, device="cpu"))
    resampled = resampled_aurocs(scored.labels, scored.probabilities, scored.predictions.patients)
    low, high = percentile_interval(mean_over_classes(resampled))
    return scored.mean, low, high, sum(row["seconds"] for row in result.history)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), compare_backbones, argv)


if __name__ == "__main__":
    sys.exit(main())
