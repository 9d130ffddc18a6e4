"""Draw several images and the heat maps of their findings on one sheet, for a paper or a talk.

    python tools/contact_sheet.py images/*.png --output sheet.png
    python tools/contact_sheet.py folder --findings Mass Effusion --output sheet.png

Each row shows an image, first alone and then with the heat map of each finding. Without --findings, the most probable
findings of each image are shown.
"""

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.config import InferenceConfig, PredictConfig
from chexnet.config.argument_types import positive_int
from chexnet.errors import InputError
from chexnet.files import shipped_weights

if TYPE_CHECKING:
    from chexnet.inference import Prediction


def build_parser() -> cli.Parser:
    """Return the parser. Flags that it shares with predict.py have the same defaults."""
    parser = cli.Parser("Draw images and the heat maps of their findings on one sheet.", __doc__)
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER", help="images and folders, as for predict.py")
    names = {field.name for field in dataclasses.fields(InferenceConfig)} | {"top"}
    cli.add_config_arguments(parser, PredictConfig, names)
    add = parser.group("outputs").add_argument
    add("--output", required=True, metavar="FILE.png", help="picture to write, replaced if it exists")
    add("--findings", nargs="+", default=[], metavar="NAME", help="one column per finding (default: --top per image)")
    add("--tile", type=positive_int, default=224, metavar="PIXELS", help="longer side of an image on the sheet")
    return parser


def draw_contact_sheet(args: argparse.Namespace) -> None:
    """Draw and write the sheet, and report images that cannot be read."""
    from chexnet.data.images import image_folders
    from chexnet.files import atomic_write, check_inputs, check_writable

    check_writable(args.output, ".png", protected=args.images)
    skipped: Counter[str] = Counter()
    paths = list(image_folders.find_images(args.images, skipped))
    files = [path for path in paths if isinstance(path, Path) and path.exists()]
    if not files:
        raise paths[0] if isinstance(paths[0], InputError) else InputError(f"{paths[0]}: no such image file")
    if skipped:
        cli.echo(f"skipped in folders: {image_folders.format_counts(skipped)}")
    check_inputs(files, [args.output])
    ckpt = shipped_weights.choose_checkpoint(args.explicit_args.get("ckpt"), args.ckpt, cli.echo)
    check_inputs([ckpt, *filter(None, [args.classes_file])], [args.output])
    from tqdm import tqdm

    from chexnet.inference import Predictor, check_rows, contact_sheet

    check_rows(len(files))
    predictor = Predictor(cli.config_from_args(InferenceConfig, args, ckpt=ckpt), images=len(paths), log=cli.echo)
    if unknown := [name for name in args.findings if name not in predictor.classes]:
        raise InputError(f"--findings {' '.join(unknown)}: unknown, expected names from {', '.join(predictor.classes)}")
    predictor.load(cli.echo)
    errors: list[InputError] = []

    def readable() -> "Iterator[Prediction]":
        predictions = predictor.predict_all(paths)
        for prediction in tqdm(predictions, total=len(paths), unit="image", disable=None):  # on a terminal only
            if isinstance(prediction, InputError):
                print(f"error: {prediction}", file=sys.stderr)
                errors.append(prediction)
            else:
                yield prediction

    sheet = contact_sheet(readable(), args.findings, args.top, args.tile, predictor.disclaimer)
    with atomic_write(args.output) as temporary:
        sheet.save(temporary)
    print(f"{args.output}: {sheet.width} x {sheet.height} pixels")
    if errors:
        raise InputError(f"{len(errors)} of the images and folders cannot be used, see above; all others were drawn")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), draw_contact_sheet, argv)


if __name__ == "__main__":
    sys.exit(main())
