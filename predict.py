"""Says what a CheXNet sees on images: the most probable findings, and where.

    python predict.py examples/images/consolidation_nodule.png --cam pictures
    python predict.py folder another.dcm --json predictions.json --csv predictions.csv
    find archive -name '*.dcm' | python predict.py - --csv predictions.csv

It is no medical device. docs/predict.md says what is read, what the numbers mean and how to get decisions.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence

from chexnet import cli, shipped
from chexnet.config import PredictConfig
from chexnet.errors import InputError


def build_parser() -> cli.Parser:
    """The flags; their defaults are PredictConfig's."""
    default = PredictConfig()
    parser = cli.Parser("Say what a CheXNet sees on images.", __doc__)
    add = parser.add_argument
    add(
        "images",
        nargs="+",
        metavar="IMAGE_OR_FOLDER",
        help="PNG, JPEG, TIFF, DICOM ... files; folders, with all that are below; - reads names from standard input",
    )
    add("--ckpt", default=default.ckpt, help=shipped.HELP)
    add(
        "--top",
        type=cli.positive_int,
        default=default.top,
        metavar="N",
        help="findings shown, and drawn, per image; with thresholds all that are present, too",
    )
    add("--cam", metavar="DIR", help="folder for heat maps of these findings, one PNG per image and finding")
    add("--sheet", action="store_true", help="with --cam: one PNG per image instead, with the maps of all findings")
    add("--thresholds", metavar="FILE.json", help="operating points; default: those beside the weights, if any")
    add("--json", metavar="FILE.json", help="write everything there")
    add("--csv", metavar="FILE.csv", help="write all probabilities there, a line an image")
    cli.add_checkpoint_flags(parser)
    cli.add_computing_flags(parser, default)
    return parser


def body(args: argparse.Namespace) -> None:
    """Predicts, prints each image as it is done, and names those that cannot be read."""
    args.ckpt = shipped.choose_checkpoint(args.given.get("ckpt"), args.ckpt, cli.say)
    config = PredictConfig(**{field.name: getattr(args, field.name) for field in dataclasses.fields(PredictConfig)})
    from chexnet.predictor import format_result, predict_files

    errors = 0
    for result in predict_files(config, names(args.images), "-" not in args.images, cli.say):
        if isinstance(result, InputError):
            print(f"error: {result}", file=sys.stderr, flush=True)
            errors += 1
        else:
            cli.say(format_result(result, config.top))
    if errors:
        raise InputError(f"{errors} of the images and folders cannot be used, see above; the others are done")


def names(arguments: Sequence[str]) -> Iterator[str]:
    """The names, those on standard input in the place of `-`, one a line."""
    for argument in arguments:
        if argument == "-":
            yield from cli.lines_of_stdin()
        else:
            yield argument


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
