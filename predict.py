"""Predict findings in chest radiographs and, optionally, draw where they are.

    python predict.py examples/images/consolidation_nodule.png --cam pictures
    python predict.py folder another.dcm --output_json predictions.json --output_csv predictions.csv
    find archive -name '*.dcm' | python predict.py - --quiet --output_csv predictions.csv

This is not a medical device. docs/predict.md describes the input files, the numbers and how to get decisions.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence

from chexnet import cli
from chexnet.config import PredictConfig
from chexnet.errors import InputError
from chexnet.files import shipped_weights


def build_parser() -> cli.Parser:
    """Return the parser: the images and the flags of PredictConfig."""
    parser = cli.Parser("Predict findings in chest radiographs.", __doc__)
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE_OR_FOLDER",
        help="image files (PNG, JPEG, TIFF, DICOM ...), folders with all subfolders, or - for names on standard input",
    )
    cli.add_config_arguments(parser, PredictConfig)
    parser.group("outputs").add_argument(
        "--quiet", action="store_true", help="print no findings, only errors; for runs that write files"
    )
    return parser


def predict_images(args: argparse.Namespace) -> None:
    """Predict, print each result as soon as it is ready, and report images that cannot be read."""
    if args.quiet and not any((args.output_json, args.output_csv, args.cam, args.dicom, args.embeddings)):
        raise InputError(
            "--quiet: the findings would be lost; also set --output_csv, --output_json, --cam, --dicom or --embeddings"
        )
    args.ckpt = shipped_weights.choose_checkpoint(args.explicit_args.get("ckpt"), args.ckpt, cli.echo)
    config = cli.config_from_args(PredictConfig, args)
    from chexnet.inference import format_result, predict_files

    errors = 0
    for result in predict_files(config, read_paths(args.images), "-" not in args.images, cli.echo):
        if isinstance(result, InputError):
            print(f"error: {result}", file=sys.stderr, flush=True)
            errors += 1
        elif not args.quiet:
            cli.echo(format_result(result, config.top))
    if errors:
        raise InputError(f"{errors} of the images and folders cannot be used, see above; all others were processed")


def read_paths(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments, with the lines of standard input in place of `-`."""
    for argument in arguments:
        if argument == "-":
            yield from cli.lines_of_stdin()
        else:
            yield argument


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), predict_images, argv)


if __name__ == "__main__":
    sys.exit(main())
