"""Score millions of images in parts, on any number of processes and machines, and merge the results.

    python tools/score_parts.py names.txt --output_dir parts --part 7
    python tools/score_parts.py names.txt --output_dir parts
    python tools/score_parts.py names.txt --output_dir parts --merge scores.csv

names.txt has the path of one image per line. The first command scores one part, the second all parts that are not
finished yet. Both may be killed and repeated. The third writes the CSV file that predict.py would have written for the
whole list. docs/scaling.md has the commands for SLURM, Kubernetes and Ray.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.config import InferenceConfig, PredictConfig
from chexnet.config.argument_types import non_negative_int, positive_int
from chexnet.files import shipped_weights


def build_parser() -> cli.Parser:
    """Return the parser. Flags that it shares with predict.py have the same defaults."""
    parser = cli.Parser("Score millions of images in parts, and merge the results.", __doc__)
    parser.add_argument("names", metavar="NAMES.txt", help="text file with the path of one image per line")
    names = {field.name for field in dataclasses.fields(InferenceConfig)} | {"thresholds", "calibrated"}
    cli.add_config_arguments(parser, PredictConfig, names)
    add = parser.group("parts").add_argument
    add("--output_dir", required=True, metavar="DIR", help="folder for the files of the parts")
    add("--part_size", type=positive_int, default=10_000, metavar="N", help="images per part, a multiple of 8")
    add("--part", type=non_negative_int, metavar="I", help="score only this part, from 0 (default: all parts)")
    add("--merge", metavar="FILE.csv", help="score nothing; write the probabilities of all parts to this CSV file")
    return parser


def score_or_merge(args: argparse.Namespace) -> None:
    """Score one part or all parts, or merge them."""
    from chexnet.inference.scoring_parts import ImageParts, PartScorer, merge_parts

    parts = ImageParts(args.names, args.output_dir, args.part_size)
    if args.merge:
        result = merge_parts(parts, args.merge)
        for engine in result.engines:
            cli.echo(f"=> {engine}")
        cli.echo(f"{args.merge}: {result.images - result.n_failures} of {result.images} images")
        if result.n_failures:
            cli.echo(f"{result.failures}: {result.n_failures} images that could not be read")
        return
    chosen = enumerate(parts.all_names()) if args.part is None else [(args.part, parts.names(args.part))]
    ckpt = shipped_weights.choose_checkpoint(args.explicit_args.get("ckpt"), args.ckpt, cli.echo)
    scorer = PartScorer(cli.config_from_args(PredictConfig, args, ckpt=ckpt), cli.echo)
    for number, names in chosen:
        failures = scorer.score(parts, number, names)
        if failures is None:
            cli.echo(f"{parts.csv(number)}: already finished")
        else:
            unread = f", {len(failures)} images could not be read, see {parts.json(number)}" if failures else ""
            cli.echo(f"{parts.csv(number)}: finished{unread}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), score_or_merge, argv)


if __name__ == "__main__":
    sys.exit(main())
