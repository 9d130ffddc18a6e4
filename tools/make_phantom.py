"""Draw synthetic chest radiographs with planted findings, in the layout of ChestX-ray14.

    python tools/make_phantom.py --output_dir phantom --images 600 --size 256 --seed 0 --min_prevalence 0.12
    python tools/make_phantom.py --output_dir biased --plant chest_drain=0.02,Pneumothorax=0.9 ap_marker=0.3
    python tools/make_phantom.py --output_dir pairs --pairs 50 --seed 7

The first writes phantom/images/*.png, phantom/labels/{train,val,test}_list.txt and phantom/BBox_List.csv, the second
also biased/confounders.csv. The third draws 50 healthy chests, each also with every single finding and confounder, for
tools/shortcuts.py. The same flags give the same bytes. Use the images to try the software: results on synthetic images
say nothing about patients.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.config.argument_types import fraction, positive_int, random_seed
from chexnet.errors import InputError

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
    add(
        "--plant",
        nargs="+",
        default=[],
        metavar="NAME=RATE[,FINDING=RATE ...]",
        help="plant chest_drain, pacemaker, ap_marker or letter in this fraction of the images, and in other fractions "
        "of those with a finding",
    )
    add(
        "--pairs",
        nargs="?",
        type=positive_int,
        const=50,
        metavar="N",
        help="draw no data set but N patients (50 if N is left out), each with and without each single finding, drain, "
        "pacemaker, marker and letter",
    )
    return parser


def make_phantoms(args: argparse.Namespace) -> None:
    """Draw the data set or the pairs and print a summary."""
    if args.pairs and (flags := {"images", "min_prevalence", "plant"} & args.explicit_args.keys()):
        raise InputError(f"--pairs: cannot be combined with --{min(flags)}, which describes a data set")
    from tqdm import tqdm

    from chexnet.phantom import make_dataset, make_pairs, parse_plantings

    plantings = parse_plantings(args.plant)
    with tqdm(unit="image", disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        if args.pairs:
            pairs = make_pairs(args.output_dir, args.pairs, args.size, args.seed, show)
        else:
            flags = (args.images, args.size, args.seed, args.min_prevalence)
            summary = make_dataset(args.output_dir, *flags, progress=show, plantings=plantings)
    if args.pairs:
        print(f"{pairs.file}: {pairs.pairs} pairs of {pairs.images} images of {args.pairs} patients")
        command = ("python", "tools/shortcuts.py", "--pairs", pairs.file, "--output_dir", "shortcuts")
        print(f"Next: {cli.command_line(*command)}")
    else:
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
    for name, counts in summary.planted.items():
        print(f"{name:20}" + "".join(f"{counts[split]:>8}" for split in splits))
    print(f"boxes: {summary.box_file}")
    flags = ["--data_dir", summary.image_dir, "--train_list", summary.lists["train"], "--val_list"]
    print(f"Next: {cli.command_line('python', 'train.py', *flags, summary.lists['val'], '--init', 'random')}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), make_phantoms, argv)


if __name__ == "__main__":
    sys.exit(main())
