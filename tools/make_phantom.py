"""Draw synthetic chest radiographs with planted findings, in the layout of ChestX-ray14.

    python tools/make_phantom.py --output_dir phantom --images 600 --size 256 --seed 0 --min_prevalence 0.12

This writes phantom/images/*.png, phantom/labels/{train,val,test}_list.txt and phantom/BBox_List.csv. The same flags
give the same bytes. Use the images to try the software: results on synthetic images say nothing about patients.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.config.argument_types import fraction, positive_int, random_seed

if TYPE_CHECKING:
    from chexnet.phantom import Summary


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Draw synthetic chest radiographs in the layout of ChestX-ray14.", __doc__)
    add = parser.add_argument
    add("--output_dir", required=True, metavar="DIR", help="new or empty folder to write to")
    add("--images", type=positive_int, default=600, metavar="N", help="number of images, at least 10")
    add("--size", type=positive_int, default=256, metavar="S", help="side of the images in pixels, at least 32")
    add(
        "--seed",
        type=random_seed,
        default=0,
        metavar="K",
        help="random seed; a different seed gives different patients",
    )
    add(
        "--min_prevalence",
        type=fraction,
        default=0.0,
        metavar="F",
        help="minimum fraction of images with each finding, at most 0.2; 0 keeps the prevalences of ChestX-ray14",
    )
    return parser


def make_phantoms(args: argparse.Namespace) -> None:
    """Draw the data set and print a summary."""
    from tqdm import tqdm

    from chexnet.phantom import make_dataset

    with tqdm(total=args.images, unit="image", disable=None) as bar:
        summary = make_dataset(
            args.output_dir,
            args.images,
            args.size,
            args.seed,
            args.min_prevalence,
            progress=lambda done, total: bar.update(done - bar.n),
        )
    print_summary(summary)


def print_summary(summary: "Summary") -> None:
    """Print images and patients per split, positives per finding, and the next command."""
    from chexnet.labels import CLASS_NAMES

    splits = list(summary.images)
    print(f"{'':20}" + "".join(f"{split:>8}" for split in splits))
    print(f"{'images':20}" + "".join(f"{summary.images[split]:>8}" for split in splits))
    print(f"{'patients':20}" + "".join(f"{summary.patients[split]:>8}" for split in splits))
    for index, name in enumerate(CLASS_NAMES):
        print(f"{name:20}" + "".join(f"{summary.positives[split][index]:>8}" for split in splits))
    print(f"boxes: {summary.box_file}")
    flags = ["--data_dir", summary.image_dir, "--train_list", summary.lists["train"], "--val_list"]
    print(f"Next: {cli.command_line('python', 'train.py', *flags, summary.lists['val'], '--init', 'random')}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), make_phantoms, argv)


if __name__ == "__main__":
    sys.exit(main())
