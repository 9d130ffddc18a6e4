"""Puts several images and where their findings are on one picture, for a paper or a talk.

    python tools/contact_sheet.py images/*.png --out sheet.png
    python tools/contact_sheet.py folder --findings Mass Effusion --out sheet.png

A row is an image: alone, then under the map of each finding. Without --findings these are its own most probable ones.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet import cli, shipped
from chexnet.config import InferenceConfig, PredictConfig
from chexnet.errors import InputError

if TYPE_CHECKING:
    from chexnet.predictor import Prediction


def build_parser() -> cli.Parser:
    """The flags; those that predict.py has too have its defaults."""
    default = PredictConfig()
    parser = cli.Parser("Put images and where their findings are on one picture.", __doc__)
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE_OR_FOLDER", help="as for predict.py")
    add("--out", required=True, metavar="FILE.png", help="the picture, replaced if it exists")
    add("--findings", nargs="+", default=[], metavar="NAME", help="a column each; without, --top of each image")
    add("--top", type=cli.positive_int, default=default.top, metavar="N", help="columns, without --findings")
    add("--tile", type=cli.positive_int, default=224, metavar="PIXELS", help="longer side of an image on the sheet")
    add("--ckpt", default=default.ckpt, help=shipped.HELP)
    cli.add_checkpoint_flags(parser)
    cli.add_computing_flags(parser, default)
    return parser


def body(args: argparse.Namespace) -> None:
    """Draws and writes the sheet; names the images that cannot be read."""
    from chexnet.files import check_inputs, check_writable, replacing
    from chexnet.images import folders

    check_writable(args.out, ".png", keep=args.images)
    passed_over: Counter[str] = Counter()
    paths = list(folders.find(args.images, passed_over))
    files = [path for path in paths if isinstance(path, Path) and path.exists()]
    if not files:
        raise paths[0] if isinstance(paths[0], InputError) else InputError(f"{paths[0]}: no such image file")
    if passed_over:
        cli.say(f"passed over in folders: {folders.describe(passed_over)}")
    check_inputs(files, [args.out])
    ckpt = shipped.choose_checkpoint(args.given.get("ckpt"), args.ckpt, cli.say)
    check_inputs([ckpt, *filter(None, [args.classes])], [args.out])
    from tqdm import tqdm

    from chexnet.predictor import Predictor, check_rows, contact_sheet

    check_rows(len(files))
    options = {field.name: getattr(args, field.name) for field in fields(InferenceConfig)}
    predictor = Predictor(InferenceConfig(**options), ckpt=ckpt, images=len(paths))
    if unknown := [name for name in args.findings if name not in predictor.classes]:
        raise InputError(f"--findings {' '.join(unknown)}: unknown, expected some of {', '.join(predictor.classes)}")
    predictor.load(cli.say)
    errors: list[InputError] = []

    def readable() -> "Iterator[Prediction]":
        found = predictor.predict_all(paths)
        for one in tqdm(found, total=len(paths), unit="image", disable=None):  # on a terminal only
            if isinstance(one, InputError):
                print(f"error: {one}", file=sys.stderr)
                errors.append(one)
            else:
                yield one

    sheet = contact_sheet(readable(), args.findings, args.top, args.tile, predictor.notice)
    with replacing(args.out) as temporary:
        sheet.save(temporary)
    print(f"{args.out}: {sheet.width} x {sheet.height} pixels")
    if errors:
        raise InputError(f"{len(errors)} of the images and folders cannot be used, see above; the others are drawn")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
