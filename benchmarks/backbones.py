"""Compare the backbones: size, operations, speed per engine, memory, and AUROC on phantoms after the same epochs.

    python -m benchmarks.backbones --output_prefix comparison
    python -m benchmarks.backbones --output_prefix comparison --backbones densenet121 resnet50

The second command writes comparison.json, comparison.md (a table) and comparison.png (a plot). All backbones take about
two hours on two cores. Everything runs on the CPU. Each backbone has its own processes and alternates with
DenseNet-121, so that other work on the machine affects the ratios less.
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

from benchmarks.harness import in_subprocess, interleaved, rate
from chexnet import cli
from chexnet.config import CPUS, DEFAULT_BACKBONE, ENGINES, EvalConfig, TrainConfig
from chexnet.config.argument_types import positive_int
from chexnet.config.backbone_registry import list_backbones
from chexnet.files import atomic_write, check_writable, write_text

SIDE = 224
REPETITIONS = 5
CROPS = 20
"""Crops per timed repetition."""

RESIZE, CROP, EPOCHS, BATCH = 72, 64, 5, 16
"""Training settings of all backbones, from random weights with Adam; CROP is the smallest crop that all accept."""


@dataclass(frozen=True)
class BackbonePerformance:
    """Measurements of one backbone.

    Attributes:
        parameters: trainable parameters, with 14 outputs.
        multiply_adds: multiply-adds of convolutions and linear layers for one image of SIDE x SIDE.
        crops_per_second: engine -> medians of this backbone and of DenseNet-121; None if the engine cannot run it.
        memory: peak memory in megabytes of a process that predicts with the fastest engine.
        auroc: mean AUROC over the classes on the test phantoms.
        low: lower end of its 95 % interval, from resampled patients.
        high: upper end of that interval.
        seconds: duration of the training.
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
    add(
        "--backbones",
        nargs="+",
        choices=list_backbones(),
        default=list_backbones(),
        metavar="NAME",
        help="backbones to compare",
    )
    add("--images", type=positive_int, default=640, help="number of phantoms, 70 %% of them for training")
    return parser


def compare_backbones(args: argparse.Namespace) -> None:
    """Measure the backbones one after another, print and write the results."""
    from benchmarks import machine
    from chexnet.phantom import make_dataset

    for suffix in (".json", ".md", ".png"):
        check_writable(f"{args.output_prefix}{suffix}", suffix, protected=())
    found: dict[str, BackbonePerformance] = {}
    with tempfile.TemporaryDirectory(prefix="chexnet-backbones-") as folder:
        data = Path(folder) / "phantom"
        make_dataset(data, args.images, size=128, seed=0, min_prevalence=0.12)
        for name in args.backbones:
            found[name] = measure(name, data, Path(folder) / name)
            cli.echo(_table_row(name, found[name]))
            results = {
                "machine": machine.to_dict(),
                "backbones": {name: asdict(measured) for name, measured in found.items()},
            }
            write_text(f"{args.output_prefix}.json", json.dumps(results, indent=2) + "\n")
    write_text(f"{args.output_prefix}.md", table(found))
    draw(found, Path(f"{args.output_prefix}.png"))


def measure(name: str, data: Path, folder: Path) -> BackbonePerformance:
    """Measure one backbone."""
    parameters, multiply_adds = in_subprocess(_count_operations, name)
    speeds = {engine: in_subprocess(_measure_speed, name, engine) for engine in ENGINES}
    auroc, low, high, seconds = in_subprocess(_train_on_phantoms, name, str(data), str(folder))
    return BackbonePerformance(
        parameters,
        multiply_adds,
        speeds,
        in_subprocess(_measure_memory, name),
        auroc=auroc,
        low=low,
        high=high,
        seconds=seconds,
    )


def table(found: dict[str, BackbonePerformance]) -> str:
    """Return the table in Markdown; speeds are crops per second and, in parentheses, relative to DenseNet-121."""
    engines = list(next(iter(found.values())).crops_per_second)
    head = ["backbone", "parameters", "multiply-adds", *engines, "memory", "mean AUROC"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *(_table_row(*item) for item in found.items())]
    return "\n".join(lines) + "\n"


def _table_row(name: str, measured: BackbonePerformance) -> str:
    def speed(values: tuple[float, float] | None) -> str:
        return f"{values[0]:.1f} ({values[0] / values[1]:.2f})" if values else "-"

    cells = [
        name,
        f"{measured.parameters / 1e6:.2f} M",
        f"{measured.multiply_adds / 1e9:.3f} G",
        *map(speed, measured.crops_per_second.values()),
        f"{measured.memory:.0f} MB",
        f"{measured.auroc:.3f} ({measured.low:.3f} to {measured.high:.3f})",
    ]
    return "| " + " | ".join(cells) + " |"


def draw(found: dict[str, BackbonePerformance], path: Path) -> None:
    """Plot AUROCs with their intervals, multiply-adds, and speeds with the fastest engine."""
    from matplotlib.figure import Figure

    names = sorted(found, key=lambda name: found[name].auroc)
    fastest = next(iter(found[names[0]].crops_per_second))
    figure = Figure(figsize=(11, 1.2 + 0.32 * len(names)), layout="constrained")
    auroc, operations, speed = figure.subplots(1, 3, sharey=True, width_ratios=(3, 2, 2))
    aurocs = [found[name].auroc for name in names]
    below = [found[name].auroc - found[name].low for name in names]
    above = [found[name].high - found[name].auroc for name in names]
    auroc.errorbar(aurocs, names, xerr=(below, above), fmt="o", color="#0072B2", ecolor="0.6", capsize=3)
    auroc.set_xlabel(f"mean AUROC on test phantoms after {EPOCHS} epochs\nat {CROP} x {CROP}, with 95 % intervals")
    operations.barh(names, [found[name].multiply_adds / 1e9 for name in names], color="#E69F00")
    operations.set_xlabel(f"multiply-adds for {SIDE} x {SIDE},\nbillions")
    rates = [found[name].crops_per_second[fastest] for name in names]
    speed.plot([pair[0] / pair[1] if pair else math.nan for pair in rates], names, "o", color="#009E73")
    speed.set(xscale="log", xlabel=f"crops per second with {fastest},\nrelative to {DEFAULT_BACKBONE}")
    for axes in (auroc, operations, speed):
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _count_operations(name: str) -> tuple[int, int]:
    """Return the number of trainable parameters and the multiply-adds for one image."""
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
    parameters = sum(math.prod(weight.shape) for weight in network.parameters() if not weight.stop_gradient)
    return parameters, sum(counted)


def _measure_speed(name: str, engine: str) -> tuple[float, float] | None:
    """Return crops per second of this backbone and of DenseNet-121, medians of alternating runs."""
    import numpy as np

    from chexnet.errors import InputError
    from chexnet.inference.engines import select_engine
    from chexnet.model import CheXNet

    crops = np.random.default_rng(0).integers(0, 256, (CROPS, 1, SIDE, SIDE), np.uint8)
    try:
        compiled = {
            backbone: select_engine(engine).compile(CheXNet(backbone=backbone), SIDE)
            for backbone in (name, DEFAULT_BACKBONE)
        }
    except InputError:
        return None
    candidates = {
        backbone: rate(lambda network=network: network.predict(crops), CROPS) for backbone, network in compiled.items()
    }
    interleaved(candidates, 1)
    values = interleaved(candidates, REPETITIONS)
    return median(values[name]), median(values[DEFAULT_BACKBONE])


def _measure_memory(name: str) -> float:
    """Return the peak memory of this process in megabytes when it predicts with the fastest engine."""
    import resource

    import numpy as np

    from chexnet.inference.engines import select_engine
    from chexnet.model import CheXNet

    select_engine().compile(CheXNet(backbone=name), SIDE).predict(np.zeros((CROPS, 1, SIDE, SIDE), np.uint8))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _train_on_phantoms(name: str, data: str, folder: str) -> tuple[float, float, float, float]:
    """Return the mean AUROC on the test phantoms, the ends of its interval, and the training time in seconds."""
    from chexnet.evaluation import evaluate
    from chexnet.metrics.bootstrap import nanmean_over_classes, percentile_interval, resampled_aurocs
    from chexnet.training import train

    images, labels = f"{data}/images", f"{data}/labels"
    result = train(
        TrainConfig(
            data_dir=images,
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
    scored = evaluate(
        EvalConfig(data_dir=images, test_list=f"{labels}/test_list.txt", ckpt=ckpt, crops=1, device="cpu")
    )
    resampled = resampled_aurocs(scored.labels, scored.probabilities, scored.predictions.patients)
    low, high = percentile_interval(nanmean_over_classes(resampled))
    return scored.mean, low, high, sum(row["seconds"] for row in result.history)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), compare_backbones, argv)


if __name__ == "__main__":
    sys.exit(main())
