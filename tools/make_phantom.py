"""Draws synthetic chest radiographs with planted findings, in the layout of ChestX-ray14.

    python tools/make_phantom.py --out phantom --images 600 --size 256 --seed 0 --min_prevalence 0.12

writes phantom/images/*.png, phantom/labels/{train,val,test}_list.txt and phantom/BBox_List.csv, the same
bytes for the same flags. They are for trying the software out: nothing measured on them says anything
about patients.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chexnet import cli

if TYPE_CHECKING:
    from chexnet.phantom import Summary


def build_parser() -> cli.Parser:
    """The flags."""
    parser = cli.Parser("Draw synthetic chest radiographs in the layout of ChestX-ray14.", __doc__)
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="new or empty folder to write to")
    add("--images", type=cli.positive_int, default=600, metavar="N", help="images, at least 10")
    add("--size", type=cli.positive_int, default=256, metavar="S", help="pixels a side, at least 32")
    add("--seed", type=cli.seed, default=0, metavar="K", help="another seed, other people")
    add(
        "--min_prevalence",
        type=cli.fraction,
        default=0.0,
        metavar="F",
        help="raise rarer findings to this share of the images, at most 0.2; 0 keeps those of ChestX-ray14",
    )
    return parser


def body(args: argparse.Namespace) -> None:
    """Draws the data set and prints what was written."""
    from tqdm import tqdm

    from chexnet.phantom import make_dataset

    with tqdm(total=args.images, unit="image", disable=None) as bar:
        summary = make_dataset(args.out, args.images, args.size, args.seed, args.min_prevalence, bar.update)
    report(summary)


def report(summary: "Summary") -> None:
    """Prints images and patients of each part, positives of each finding, and how to train on them."""
    from chexnet.labels import CLASS_NAMES

    parts = list(summary.images)
    print(f"{'':20}" + "".join(f"{part:>8}" for part in parts))
    print(f"{'images':20}" + "".join(f"{summary.images[part]:>8}" for part in parts))
    print(f"{'patients':20}" + "".join(f"{summary.patients[part]:>8}" for part in parts))
    for index, name in enumerate(CLASS_NAMES):
        print(f"{name:20}" + "".join(f"{summary.positives[part][index]:>8}" for part in parts))
    print(f"boxes: {summary.box_file}")
    flags = ["--data_dir", summary.image_dir, "--train_list", summary.lists["train"], "--val_list"]
    print(f"Next: {cli.command_line('python', 'train.py', *flags, summary.lists['val'], '--init', 'random')}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
