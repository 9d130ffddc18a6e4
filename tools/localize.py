"""Compare the class activation maps of a checkpoint with boxes and polygons drawn by radiologists.

    python tools/localize.py --boxes dataset/BBox_List_2017.csv --data_dir dataset/images

The script prints hit rates per finding and on average: how often the maximum of the class activation map lies in the
ground-truth box (pointing game), and how often a box predicted from the map overlaps it (IoBB, IoU).
It reads the box files of NIH, RSNA and VinDr-CXR, and the boxes and polygons of ChestX-Det. docs/localization.md has
the rules.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.config import LocalizationConfig
from chexnet.errors import InputError

if TYPE_CHECKING:
    from chexnet.evaluation.localization import LocalizationResult


def build_parser() -> cli.Parser:
    """Return the parser: the flags of LocalizationConfig and those for the outputs."""
    parser = cli.Parser("Compare the class activation maps of a checkpoint with ground-truth boxes.", __doc__)
    cli.add_config_arguments(parser, LocalizationConfig)
    add = parser.group("outputs").add_argument
    add(
        "--output_json",
        metavar="FILE.json",
        help="write scores, all cases, configuration and checksums to this JSON file",
    )
    add("--contact_sheet", metavar="FILE.png", help="write a picture with two cases per finding to this PNG file")
    return parser


def localize_checkpoint(args: argparse.Namespace) -> None:
    """Compare, print the scores, write the requested files and report skipped boxes."""
    config = cli.config_from_args(LocalizationConfig, args)
    from chexnet.evaluation.localization import localize, write_contact_sheet
    from chexnet.files import check_writable, write_each
    from chexnet.model.checkpoint import metadata_path

    inputs = [
        config.boxes,
        config.ckpt,
        metadata_path(config.ckpt),
        *filter(None, (config.test_list, config.classes_file)),
    ]
    outputs: list[str] = []
    for path, suffix in ((args.output_json, ".json"), (args.contact_sheet, ".png")):
        if path:
            check_writable(path, suffix, protected=inputs, others=outputs)
            outputs.append(path)
    with cli.progress_bar("image") as progress:
        result = localize(config, cli.echo, progress, outputs)
    writers = [partial(result.write_json, args.output_json)] if args.output_json else []
    writers += [partial(write_contact_sheet, args.contact_sheet, result.samples)] if args.contact_sheet else []
    write_each([*writers, partial(show, result)])
    if result.left_out:
        raise InputError(
            f"{config.boxes}: {len(result.left_out)} boxes or images, listed above, were left out; the rest was scored"
        )


def show(result: "LocalizationResult") -> None:
    """Print the scores and the boxes and images that were left out."""
    from chexnet.evaluation.localization import format_result

    print(format_result(result))
    if result.no_class:
        print(f"left out: {result.no_class}")
    for reason in result.left_out:
        print(f"left out: {reason}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), localize_checkpoint, argv)


if __name__ == "__main__":
    sys.exit(main())
