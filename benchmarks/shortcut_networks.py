"""Train a network on phantoms where chest drains go with pneumothorax and one where they do not, and check both.

    python -m benchmarks.shortcut_networks --output_dir shortcuts

Every other confounder is planted at random in both sets, and each has as many drains as the other. Both networks are
the small one of benchmarks/recipes.py, trained from the same weights. tools/shortcuts.py's check of pairs of other
patients must name the drain as a shortcut for Pneumothorax in the first network only. The script also gives the AUROC
of Pneumothorax on test phantoms planted like those of the training, and on phantoms planted like those of the other.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import in_subprocess
from chexnet import cli
from chexnet.config import CPUS, EvalConfig, InferenceConfig, TrainConfig
from chexnet.config.argument_types import positive_int
from chexnet.files import check_writable, write_text

if TYPE_CHECKING:
    from chexnet.evaluation.shortcuts import Effect

FINDING, CONFOUNDER = "Pneumothorax", "chest_drain"

OTHERS = ("pacemaker=0.3", "ap_marker=0.3", "letter=0.3")

PLANTED: Mapping[str, tuple[str, ...]] = {
    "drains go with pneumothorax": (f"{CONFOUNDER}=0.02,{FINDING}=0.9", *OTHERS),
    "drains at random": (f"{CONFOUNDER}=0.15", *OTHERS),
}
"""Training set -> what is planted in it, as for `tools/make_phantom.py --plant`."""

SIZE, CROP, PREVALENCE = 72, 64, 0.15
"""Sizes in pixels, and minimum prevalence of each finding."""


@dataclass(frozen=True)
class Sizes:
    """Numbers of training and test phantoms, epochs, and patients with pairs.

    70 % of `images` are for training and 10 % for validation; 70 % of `test_images`, which are other patients, are for
    the test.
    """

    images: int = 4000
    test_images: int = 2000
    epochs: int = 10
    patients: int = 50


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Check that shortcuts of networks are found.", __doc__)
    parser.prog = "python -m benchmarks.shortcut_networks"
    add = parser.add_argument
    add("--output_dir", required=True, metavar="DIR", help="folder for results.json, results.md and the pictures")
    add("--seeds", type=positive_int, default=3, metavar="N", help="runs per training set, with the seeds 0 to N - 1")
    return parser


def check_networks(args: argparse.Namespace) -> None:
    """Train, check, print and write the results."""
    root = Path(args.output_dir)
    check_writable(root / "results.json", ".json", protected=())
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="chexnet-shortcuts-") as folder:
        draw_phantoms(Path(folder), Sizes())
        for seed in range(args.seeds):
            for name in PLANTED:
                runs.append(in_subprocess(train_and_check, name, seed, folder, str(root), Sizes()))
                write_text(root / "results.json", json.dumps({"sizes": vars(Sizes()), "runs": runs}, indent=2) + "\n")
                cli.echo(f"{name}, seed {seed}: {runs[-1]['shortcuts']}")
    write_text(root / "results.md", table(runs))
    cli.echo(table(runs))


def draw_phantoms(folder: Path, sizes: Sizes) -> None:
    """Draw training and test phantoms of both kinds, and the pairs; training, test and pairs have other seeds."""
    from chexnet.phantom import make_dataset, make_pairs, parse_plantings

    for index, planted in enumerate(PLANTED.values()):
        plantings = parse_plantings(planted)
        make_dataset(folder / f"train{index}", sizes.images, SIZE, 0, PREVALENCE, plantings=plantings)
        make_dataset(folder / f"test{index}", sizes.test_images, SIZE, 1, PREVALENCE, plantings=plantings)
    make_pairs(folder / "pairs", sizes.patients, SIZE, 2)


def config_of(name: str, seed: int, folder: str, sizes: Sizes) -> TrainConfig:
    """Return the configuration of one training."""
    index = list(PLANTED).index(name)
    lists = f"{folder}/train{index}/labels"
    return TrainConfig(
        data_dir=f"{folder}/train{index}/images",
        train_list=f"{lists}/train_list.txt",
        val_list=f"{lists}/val_list.txt",
        save_dir=f"{folder}/save{index}-{seed}",
        backbone="small",
        init="random",
        batch_size=32,
        learning_rate=0.003,
        schedule="cosine",
        epoch=sizes.epochs,
        seed=seed,
        device="cpu",
        num_workers=CPUS,
        resize=SIZE,
        crop=CROP,
        save_every_minutes=0,
        keep_states=1,
        no_flip=True,
    )


def train_and_check(name: str, seed: int, folder: str, output_dir: str, sizes: Sizes) -> dict[str, Any]:
    """Train one network, evaluate it on both test sets and check it; the first seed's pictures are kept."""
    from benchmarks import recipe_network  # noqa: F401 - registers the network
    from chexnet.evaluation import evaluate
    from chexnet.evaluation.shortcuts import check_shortcuts, write_result
    from chexnet.inference import Predictor
    from chexnet.training import train

    ckpt = str(train(config_of(name, seed, folder, sizes)).best_model)
    common: dict[str, Any] = {"crops": 1, "engine": "paddle", "device": "cpu", "num_workers": CPUS}
    aurocs = {}
    for index, planted in enumerate(PLANTED):
        lists = f"{folder}/test{index}"
        scored = evaluate(
            EvalConfig(ckpt=ckpt, data_dir=f"{lists}/images", test_list=f"{lists}/labels/train_list.txt", **common)
        )
        finding = float(scored.aurocs[scored.classes.index(FINDING)])
        aurocs[planted] = {"mean": float(scored.mean), FINDING: finding}
    predictor = Predictor(InferenceConfig(ckpt=ckpt, **common))
    result = check_shortcuts(predictor, f"{folder}/pairs/pairs.csv")
    if seed == 0:
        write_result(result, predictor, Path(output_dir, name.replace(" ", "_")))
    effects = {(effect.planted, effect.finding): effect for effect in result.effects}
    return {
        "trained on": name,
        "seed": seed,
        "auroc": aurocs,
        "itself": _values(effects[FINDING, FINDING]),
        "confounder": _values(effects[CONFOUNDER, FINDING]),
        "shortcuts": [
            f"{found.effect.planted} for {found.effect.finding} ({found.effect.logit.mean:+.2f})"
            for found in result.verdict.shortcuts
        ],
    }


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the results in Markdown, a line per run."""
    head = ["trained on", "seed", f"AUROC of {FINDING}, drains with it", "drains at random"]
    head += [f"change of the logit of {FINDING} by itself", "by a drain", "shortcuts that the check names"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for run in runs:
        aurocs = [f"{values[FINDING]:.3f}" for values in run["auroc"].values()]
        changes = ["{mean:+.2f} ({low:+.2f} to {high:+.2f})".format(**run[key]) for key in ("itself", "confounder")]
        found = "; ".join(run["shortcuts"]) or "none"
        lines.append("| " + " | ".join([run["trained on"], str(run["seed"]), *aurocs, *changes, found]) + " |")
    return "\n".join(lines) + "\n"


def _values(effect: "Effect") -> dict[str, float]:
    return {"mean": effect.logit.mean, "low": effect.logit.low, "high": effect.logit.high}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), check_networks, argv)


if __name__ == "__main__":
    sys.exit(main())
