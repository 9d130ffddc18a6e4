"""Train each recipe, and each flag against the default, on phantoms at the prevalences of ChestX-ray14.

    python -m benchmarks.recipes --output_prefix comparison
    python -m benchmarks.recipes --output_prefix comparison --variants paddle-chexnet zoogzog --seeds 1

Writes comparison.json, comparison.md (a table) and comparison.png (a plot). All variants with three seeds take about
half an hour on two idle cores. The JSON file is written after each run, and runs that it contains are not repeated.

Every run trains the same small network from random weights on the same number of images. Phantoms show whether a flag
does what it should, and how it treats rare findings. They do not show which recipe is best for radiographs: the noise
of the labels, the variety of patients and the pretrained weights are missing, and rates were chosen for those.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.harness import in_subprocess
from chexnet import cli
from chexnet.config import CPUS, RECIPE_NAMES, EvalConfig, TrainConfig
from chexnet.config.argument_types import positive_int
from chexnet.config.training_recipes import RECIPES, recipe_config
from chexnet.errors import InputError
from chexnet.files import atomic_write, check_writable, write_text

DEFAULT = RECIPE_NAMES[0]

RESIZE, CROP, EPOCHS, IMAGES, TEST_IMAGES = 72, 64, 8, 6000, 6000
"""Sizes in pixels, epochs of every run, and numbers of phantoms: 70 % of IMAGES are for training and 10 % for
validation, 70 % of TEST_IMAGES, which are other patients, for the test."""

SCALED: Mapping[str, Mapping[str, Any]] = {
    DEFAULT: {"decay_epochs": (4, 6, 7)},
    "chexnet": {"resize": CROP, "crop": CROP},
    "zoogzog": {},
    "modern": {"warmup_epochs": 1},
    "highres": {"decay_epochs": (4, 6, 7), "resize": 2 * RESIZE, "crop": 2 * CROP},
}
"""Recipe -> what is scaled to the sizes and epochs of this comparison."""

FLAGS: Mapping[str, Mapping[str, Any]] = {
    "--loss weighted_bce": {"loss": "weighted_bce"},
    "--loss focal": {"loss": "focal"},
    "--loss asl": {"loss": "asl"},
    "--schedule plateau --patience 0": {"schedule": "plateau", "patience": 0},
    "--schedule cosine": {"schedule": "cosine"},
    "--warmup_epochs 1": {"warmup_epochs": 1},
    "--select loss": {"select": "loss"},
    "--optimizer adamw --weight_decay 0.05": {"optimizer": "adamw", "weight_decay": 0.05},
    "--optimizer sgd --learning_rate 0.03": {"optimizer": "sgd", "learning_rate": 0.03},
    "--weight_decay 1e-5": {"weight_decay": 1e-5},
    "--ema 0.9999": {"ema": 0.9999},
    "--clip_grad_norm 1": {"clip_grad_norm": 1.0},
    "--batch_size 16": {"batch_size": 16},
    "--augment resized_crop": {"augment": "resized_crop"},
    "--augment affine": {"augment": "affine"},
    "--no_flip": {"no_flip": True},
}
"""Flags that are added to those of the default."""

VARIANTS = (*RECIPE_NAMES, *FLAGS)


@dataclass(frozen=True)
class Run:
    """Result of one run.

    Attributes:
        auroc: mean AUROC over the classes, on the test phantoms, of the best epoch.
        rare_auprc: mean average precision over the five rarest findings.
        epoch: the best epoch.
        seconds: duration of the training.
    """

    auroc: float
    rare_auprc: float
    epoch: int
    seconds: float


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Compare recipes and flags on phantoms.", __doc__)
    add = parser.add_argument
    add("--output_prefix", required=True, metavar="NAME", help="write NAME.json, NAME.md and NAME.png")
    add("--variants", nargs="+", choices=VARIANTS, default=[], metavar="NAME", help="variants to run (default: all)")
    add("--seeds", type=positive_int, default=3, metavar="N", help="runs per variant, with the seeds 0 to N - 1")
    add("--jobs", type=positive_int, default=min(CPUS, 2), metavar="N", help="runs at the same time")
    return parser


def compare_recipes(args: argparse.Namespace) -> None:
    """Run what the JSON file does not contain yet, print and write the results."""
    json_file = Path(f"{args.output_prefix}.json")
    for suffix in (".json", ".md", ".png"):
        check_writable(f"{args.output_prefix}{suffix}", suffix, protected=())
    runs = _read(json_file)
    variants = args.variants or VARIANTS
    cells = [(variant, seed) for seed in range(args.seeds) for variant in variants]
    missing = [(variant, seed) for variant, seed in cells if str(seed) not in runs.get(variant, {})]
    with tempfile.TemporaryDirectory(prefix="chexnet-recipes-") as folder:
        if missing:
            _draw_phantoms(Path(folder))
        for variant, seed, run in _run_all(missing, folder, args.jobs):
            runs.setdefault(variant, {})[str(seed)] = run
            cli.echo(f"{variant}, seed {seed}: {run}")
            _write_json(runs, json_file)
    ordered = {variant: list(runs[variant].values()) for variant in VARIANTS if variant in runs}
    write_text(f"{args.output_prefix}.md", table(ordered))
    cli.echo(table(ordered))
    draw(ordered, Path(f"{args.output_prefix}.png"))


def config_of(variant: str, seed: int, folder: str) -> TrainConfig:
    """Return the configuration of one run; `folder` contains the phantoms and their caches."""
    recipe = variant if variant in RECIPES else DEFAULT
    sizes: dict[str, Any] = {"resize": RESIZE, "crop": CROP, **SCALED[recipe], **FLAGS.get(variant, {})}
    lists = f"{folder}/train/labels"
    return recipe_config(
        recipe,
        data_dir=f"{folder}/train/images",
        train_list=f"{lists}/train_list.txt",
        val_list=f"{lists}/val_list.txt",
        image_cache=f"{folder}/cache{sizes['resize']}",
        save_dir=f"{folder}/save-{VARIANTS.index(variant)}-{seed}",
        backbone="small",
        init="random",
        epoch=EPOCHS,
        seed=seed,
        device="cpu",
        num_workers=1,
        save_every_minutes=0,
        keep_states=1,
        **sizes,
    )


def train_and_test(variant: str, seed: int, folder: str) -> Run:
    """Train one variant and evaluate it on the test phantoms."""
    from sklearn.metrics import average_precision_score

    from benchmarks import recipe_network  # noqa: F401 - registers the network
    from chexnet.evaluation import evaluate
    from chexnet.phantom import PREVALENCE
    from chexnet.training import train

    config = config_of(variant, seed, folder)
    result = train(config)
    test = EvalConfig(
        data_dir=f"{folder}/test/images",
        test_list=f"{folder}/test/labels/train_list.txt",
        ckpt=str(result.best_model),
        crops=1,
        engine="paddle",
        device="cpu",
        num_workers=1,
        image_cache=f"{folder}/test-cache{config.resize}",
    )
    scored = evaluate(test)
    rarest = sorted(PREVALENCE, key=PREVALENCE.__getitem__)[:5]
    columns = [scored.classes.index(name) for name in rarest]
    precisions = [average_precision_score(scored.labels[:, at], scored.probabilities[:, at]) for at in columns]
    seconds = sum(row["seconds"] for row in result.history)
    return Run(float(scored.mean), float(mean(precisions)), result.best_epoch, round(seconds, 1))


def table(runs: Mapping[str, Sequence[Run]]) -> str:
    """Return the table in Markdown: means over the seeds and, after +-, standard deviations (n - 1)."""
    head = ["variant", "mean AUROC", "AUPRC of the five rarest", "seconds per run"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|---|---|"]
    for variant, of_seeds in runs.items():
        cells = [
            variant if variant in RECIPES else f"`{variant}`",
            _spread([run.auroc for run in of_seeds]),
            _spread([run.rare_auprc for run in of_seeds]),
            f"{mean(run.seconds for run in of_seeds):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(runs: Mapping[str, Sequence[Run]], path: Path) -> None:
    """Plot a point per run and the mean of each variant, next to the spread of the default."""
    from matplotlib.figure import Figure

    names = list(runs)[::-1]
    figure = Figure(figsize=(11, 1.2 + 0.3 * len(names)), layout="constrained")
    quantities = {"mean AUROC": "auroc", "AUPRC of the five rarest findings": "rare_auprc"}
    for axes, (title, attribute) in zip(figure.subplots(1, 2, sharey=True), quantities.items(), strict=True):
        values = {name: [getattr(run, attribute) for run in runs[name]] for name in names}
        if DEFAULT in values:
            axes.axvspan(min(values[DEFAULT]), max(values[DEFAULT]), color="0.9", zorder=0)
        for name in names:
            axes.plot(values[name], [name] * len(values[name]), "o", color="#56B4E9", markersize=4)
            axes.plot(mean(values[name]), name, "|", color="#0072B2", markersize=14, markeredgewidth=2)
        axes.set_xlabel(f"{title}, test phantoms")
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.grid(alpha=0.3)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def _draw_phantoms(folder: Path) -> None:
    """Draw the phantoms, and cache them in every size that is used."""
    from chexnet.data.cache import build_cache
    from chexnet.data.lists import read_list
    from chexnet.data.transforms import Preprocessing
    from chexnet.phantom import make_dataset

    make_dataset(folder / "train", IMAGES, size=2 * RESIZE, seed=0)
    make_dataset(folder / "test", TEST_IMAGES, size=2 * RESIZE, seed=1)
    for split, lists, prefix in (("train", ("train", "val"), ""), ("test", ("train",), "test-")):
        names = [name for part in lists for name in read_list(folder / split / "labels" / f"{part}_list.txt").names]
        for resize, crop in ((RESIZE, CROP), (CROP, CROP), (2 * RESIZE, 2 * CROP)):
            cache = folder / f"{prefix}cache{resize}"
            build_cache(folder / split / "images", names, cache, Preprocessing(resize, crop), workers=CPUS)


def _run_all(cells: Sequence[tuple[str, int]], folder: str, jobs: int) -> Iterable[tuple[str, int, Run]]:
    """Yield the results of the runs as they end; each run has its own process."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(in_subprocess, train_and_test, *cell, folder): cell for cell in cells}
        for future in as_completed(futures):
            yield *futures[future], future.result()


def _read(json_file: Path) -> dict[str, dict[str, Run]]:
    """Return variant -> seed -> result of the runs so far. Raises InputError for a file of another comparison."""
    if not json_file.exists():
        return {}
    from chexnet.files.json_files import read_object

    content = read_object(json_file)
    if content.get("sizes") != _sizes():
        raise InputError(f"{json_file}: sizes are {content.get('sizes')}, expected {_sizes()}; choose another name")
    stored = content["runs"]
    return {variant: {seed: Run(**run) for seed, run in runs.items()} for variant, runs in stored.items()}


def _write_json(runs: Mapping[str, Mapping[str, Run]], json_file: Path) -> None:
    from benchmarks import machine

    found = {variant: {seed: asdict(run) for seed, run in of_seeds.items()} for variant, of_seeds in runs.items()}
    content = {"machine": machine.to_dict(), "sizes": _sizes(), "runs": found}
    write_text(json_file, json.dumps(content, indent=2) + "\n")


def _sizes() -> dict[str, int]:
    return {"resize": RESIZE, "crop": CROP, "epochs": EPOCHS, "images": IMAGES, "test_images": TEST_IMAGES}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), compare_recipes, argv)


if __name__ == "__main__":
    sys.exit(main())
