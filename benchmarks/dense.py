"""Compare dense evaluation with ten crops and with one, on the same images: AUROC, probabilities and speed.

    python -m benchmarks.dense
    python -m benchmarks.dense --data_dir dataset/images --test_list dataset/labels/test_list.txt --ckpt model.pdparams

Without --data_dir, the images are phantoms, square and stretched to a width of 1.25 times their height. The second
command uses the images of a list. Both print one table per set of images. Everything runs on the CPU.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.harness import interleaved, rate
from chexnet import cli
from chexnet.config import EvalConfig
from chexnet.config.argument_types import positive_int
from chexnet.config.crops import CROPS, Crops, format_crops
from chexnet.errors import InputError
from chexnet.files.shipped_weights import SHIPPED

if TYPE_CHECKING:
    from chexnet.evaluation import EvalResult

SIZE, SEED, MIN_PREVALENCE = 256, 2, 0.15
"""Phantoms of the size that the shipped network was trained on, of other seeds and so of other patients."""

STRETCH = 1.25
REPETITIONS = 3
TIMED_IMAGES = 30


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Compare dense evaluation with ten crops and with one.", __doc__)
    cli.add_config_arguments(parser, EvalConfig, ("engine", "precision", "num_workers"))
    add = parser.add_argument
    add("--ckpt", default=str(SHIPPED), metavar="FILE", help="checkpoint (default: the one of this repository)")
    add("--data_dir", metavar="DIR", help="folder of images to use instead of phantoms; needs --test_list")
    add("--test_list", metavar="FILE", help="list file of the images in --data_dir")
    add("--images", type=positive_int, default=400, metavar="N", help="number of phantoms")
    return parser


def compare(args: argparse.Namespace) -> None:
    """Compare on each set of images and print the tables."""
    if (args.data_dir is None) != (args.test_list is None):
        raise InputError("--data_dir and --test_list: expected both or neither")
    with tempfile.TemporaryDirectory(prefix="chexnet-dense-") as folder:
        if args.data_dir:
            sets = {args.test_list: (args.data_dir, args.test_list)}
        else:
            sets = make_phantoms(Path(folder), args.images)
        for name, (data_dir, test_list) in sets.items():
            config = cli.config_from_args(
                EvalConfig, args, ckpt=args.ckpt, data_dir=data_dir, test_list=test_list, device="cpu"
            )
            cli.echo(f"{name}\n\n{table(evaluate_all(config), measure_speed(config, Path(folder)))}")


def make_phantoms(folder: Path, count: int) -> dict[str, tuple[str, str]]:
    """Draw phantoms and stretch them; return the image folder and the list of each set."""
    from PIL import Image

    from chexnet.phantom import make_dataset

    make_dataset(folder / "square", count, SIZE, SEED, MIN_PREVALENCE)
    lists = [folder / "square" / "labels" / f"{part}_list.txt" for part in ("train", "val", "test")]
    together = folder / "list.txt"
    together.write_text("".join(f"{path.read_text().rstrip()}\n" for path in lists))
    (folder / "wide").mkdir()
    for path in (folder / "square" / "images").iterdir():
        image = Image.open(path)
        image.resize((round(image.width * STRETCH), image.height)).save(folder / "wide" / path.name)
    return {
        f"{count} phantoms": (str(folder / "square" / "images"), str(together)),
        f"{count} phantoms, stretched by {STRETCH}": (str(folder / "wide"), str(together)),
    }


def evaluate_all(config: EvalConfig) -> "dict[Crops, EvalResult]":
    """Evaluate the checkpoint in each of CROPS."""
    from dataclasses import replace

    from chexnet.evaluation import evaluate

    return {crops: evaluate(replace(config, crops=crops)) for crops in CROPS}


def measure_speed(config: EvalConfig, folder: Path) -> dict[Crops, float]:
    """Return images per second from the image files, medians of alternating runs with compiled engines."""
    from chexnet.data import ChestXrayDataSet, CropMode
    from chexnet.inference import Predictor

    few = folder / "few.txt"
    few.write_text("\n".join(Path(config.test_list).read_text(encoding="utf-8").splitlines()[:TIMED_IMAGES]))
    modes: dict[Crops, CropMode] = {10: "ten", 1: "center", "dense": "dense"}
    candidates = {}
    for crops in CROPS:
        predictor = Predictor(config, crops=crops)
        dataset = ChestXrayDataSet(
            config.data_dir, few, modes[crops], predictor.preprocessing, n_classes=len(predictor.classes)
        )
        candidates[crops] = rate(
            lambda predictor=predictor, dataset=dataset: predictor.predict_dataset(dataset, config.batch_size),
            len(dataset),
        )
    interleaved(candidates, 1)
    return {crops: median(values) for crops, values in interleaved(candidates, REPETITIONS).items()}


def table(results: "dict[Crops, EvalResult]", speeds: dict[Crops, float]) -> str:
    """Return a table in Markdown: each of CROPS, and its paired differences from the first one."""
    import numpy as np

    from chexnet.evaluation.report.class_scores import compare_predictions, score_predictions

    first = CROPS[0]
    scores = {crops: score_predictions(result.predictions) for crops, result in results.items()}
    lines = [
        f"| | mean AUROC (95 %) | minus {format_crops(first)} (95 %, paired) | mean and largest difference of "
        f"probabilities from {format_crops(first)} | images/s | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for crops, result in results.items():
        mean = scores[crops].mean
        paired = compare_predictions(result.predictions, results[first].predictions, (scores[crops], scores[first]))
        difference = np.abs(result.probabilities - results[first].probabilities)
        lines.append(
            f"| {format_crops(crops)} | {mean.auroc:.4f} ({mean.low:.4f} to {mean.high:.4f}) "
            f"| {paired.mean.difference:+.4f} ({paired.mean.low:+.4f} to {paired.mean.high:+.4f}) "
            f"| {difference.mean():.4f}, {difference.max():.3f} "
            f"| {speeds[crops]:.1f} | {speeds[crops] / speeds[first]:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), compare, argv)


if __name__ == "__main__":
    sys.exit(main())
