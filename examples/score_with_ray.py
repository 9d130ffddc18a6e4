"""Score a long list of images in parts with Ray Data: one actor per machine or GPU, each with a `Predictor`.

    python examples/score_with_ray.py names.txt --output_dir parts --actors 2 --cpus_per_actor 1
    python tools/score_parts.py names.txt --output_dir parts --merge scores.csv

Ray gives the numbers of the parts to the actors, on all machines of its cluster, and to another actor if one fails. The
parts are those of tools/score_parts.py, so finished ones are skipped, and that script merges them. All machines need
this package, and the images and the output folder under the same absolute paths. Requires `pip install "ray[data]"`.
"""

import argparse
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chexnet import cli
from chexnet.config import CPUS, InferenceConfig, PredictConfig
from chexnet.config.argument_types import non_negative_float, positive_int
from chexnet.errors import InputError
from chexnet.files import shipped_weights

if TYPE_CHECKING:
    from chexnet.inference.scoring_parts import ImageParts, PartScorer


def build_parser() -> cli.Parser:
    """Return the parser. Flags that it shares with tools/score_parts.py have the same defaults."""
    parser = cli.Parser("Score a long list of images in parts with Ray Data.", __doc__)
    parser.add_argument("names", metavar="NAMES.txt", help="text file with the absolute path of one image per line")
    names = {field.name for field in dataclasses.fields(InferenceConfig)} | {"thresholds", "calibrated"}
    cli.add_config_arguments(parser, PredictConfig, names)
    add = parser.group("parts").add_argument
    add("--output_dir", required=True, metavar="DIR", help="folder for the files of the parts")
    add("--part_size", type=positive_int, default=10_000, metavar="N", help="images per part, a multiple of 8")
    add("--actors", type=positive_int, default=1, metavar="N", help="number of actors")
    add("--cpus_per_actor", type=positive_int, default=CPUS, metavar="N", help="CPUs that Ray reserves for an actor")
    add("--gpus_per_actor", type=non_negative_float, default=0, metavar="N", help="GPUs that Ray reserves for an actor")
    return parser


class PartActor:
    """Score the parts that Ray gives to this process."""

    def __init__(self, config: PredictConfig, parts: "ImageParts") -> None:
        self.config, self.parts = config, parts
        self.scorer: PartScorer | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Score one part: `{"id": part}` -> its number, state and number of unreadable images, or an error."""
        from chexnet.inference.scoring_parts import PartScorer

        part = int(row["id"])
        try:
            self.scorer = self.scorer or PartScorer(self.config, lambda line: None)
            failures = self.scorer.score(self.parts, part, self.parts.names(part))
        except InputError as error:
            return {"part": part, "state": "", "failures": 0, "error": str(error)}
        state = "already finished" if failures is None else "finished"
        return {"part": part, "state": state, "failures": len(failures or ()), "error": ""}


def score_with_ray(args: argparse.Namespace) -> None:
    """Score all parts that are not finished."""
    if importlib.util.find_spec("ray") is None:
        raise InputError('Ray is not installed, expected it for this example: pip install "ray[data]"')
    from chexnet.inference.scoring_parts import ImageParts

    parts = ImageParts(os.path.abspath(args.names), os.path.abspath(args.output_dir), args.part_size)
    total = parts.count()
    ckpt = shipped_weights.choose_checkpoint(args.explicit_args.get("ckpt"), args.ckpt, cli.echo)
    paths = {"ckpt": ckpt, "thresholds": args.thresholds, "classes_file": args.classes_file}
    absolute = {name: path and os.path.abspath(path) for name, path in paths.items()}  # actors have another folder
    config = cli.config_from_args(PredictConfig, args, **absolute)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # by default, Ray reports to its vendor
    import ray

    ray.init(include_dashboard=False, log_to_driver=False)
    rows = ray.data.range(total, override_num_blocks=total).map(
        PartActor,
        fn_constructor_args=(config, parts),
        compute=ray.data.ActorPoolStrategy(size=args.actors),
        num_cpus=args.cpus_per_actor,
        num_gpus=args.gpus_per_actor or None,
    )
    for row in rows.iter_rows():
        if row["error"]:
            raise InputError(row["error"])
        cli.echo(f"{parts.csv(row['part'])}: {row['state']}, {row['failures']} images could not be read")
    ray.shutdown()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), score_with_ray, argv)


if __name__ == "__main__":
    sys.exit(main())
