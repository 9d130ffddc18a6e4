"""Compares where a checkpoint looks with the boxes that radiologists drew.

    python tools/localize.py --boxes dataset/BBox_List_2017.csv --data_dir dataset/images

prints, for each finding and in the mean, how often the class map's maximum lies in the drawn box (the pointing
game) and how often a box around the map's highest part agrees with it (IoBB, IoU). docs/localization.md has the rules.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.config import LocalizationConfig
from chexnet.errors import InputError

if TYPE_CHECKING:
    from chexnet.localization import LocalizationResult


def build_parser() -> cli.Parser:
    """The flags; their defaults are LocalizationConfig's."""
    default = LocalizationConfig(boxes="")
    parser = cli.Parser("Compare where a CheXNet checkpoint looks with drawn boxes.", __doc__)
    add = parser.add_argument
    add("--boxes", required=True, metavar="FILE", help="box file in NIH's format, .csv or .csv.gz")
    add("--data_dir", default=default.data_dir, help="folder of the images")
    add("--test_list", metavar="FILE", help="list file; boxes of images that are not in it are left alone")
    add(
        "--ckpt",
        default=default.ckpt,
        help="weight file; a JSON beside it may give its resize and crop",
    )
    add("--output", metavar="FILE.json", help="write scores, every case, configuration and checksums there")
    add("--contact_sheet", metavar="FILE.png", help="draw two cases of each finding there")
    cli.add_checkpoint_flags(parser)
    cli.add_computing_flags(parser, default)
    return parser


def body(args: argparse.Namespace) -> None:
    """Compares, prints and writes what was asked for; names what was left out."""
    names = [field.name for field in dataclasses.fields(LocalizationConfig)]
    config = LocalizationConfig(**{name: getattr(args, name) for name in names})
    from chexnet.checkpoint import sidecar_path
    from chexnet.files import check_writable, write_each
    from chexnet.localization import localize, write_contact_sheet

    inputs = [config.boxes, config.ckpt, sidecar_path(config.ckpt), *filter(None, (config.test_list, config.classes))]
    outputs: list[str] = []
    for path, suffix in ((args.output, ".json"), (args.contact_sheet, ".png")):
        if path:
            check_writable(path, suffix, keep=inputs, others=outputs)
            outputs.append(path)
    with cli.progress_bar("image") as progress:
        result = localize(config, cli.say, progress, outputs)
    writers = [partial(result.write_json, args.output)] if args.output else []
    writers += [partial(write_contact_sheet, args.contact_sheet, result.samples)] if args.contact_sheet else []
    write_each([*writers, partial(show, result)])
    if result.left_out:
        raise InputError(
            f"{config.boxes}: {len(result.left_out)} boxes or images, named above, were left out; the rest is done"
        )


def show(result: "LocalizationResult") -> None:
    """Prints the scores and what was left out."""
    from chexnet.localization import format_result

    print(format_result(result))
    for reason in result.left_out:
        print(f"left out: {reason}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
