"""Decode and resize the images of lists once, for train.py and eval.py to read instead of the image files.

    python tools/build_cache.py --data_dir dataset/images --output_dir cache

This writes cache/images.bin, 64 KiB per image of ChestX-ray14, and cache/manifest.txt. You can interrupt it at any
time: the same command resumes. It adds images that are new in the lists and rebuilds those whose files have changed.
With --verify it reads everything and writes nothing. docs/data.md has the details.

    python tools/build_cache.py --merge cache_a cache_b --output_dir cache

Several machines can build a cache from a part of the list each. This command merges them into a new one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chexnet import cli
from chexnet.config import EvalConfig, TrainConfig
from chexnet.errors import InputError

if TYPE_CHECKING:
    from chexnet.data.lists import ImageList
    from chexnet.data.transforms import Preprocessing


SMALLEST_CROP = 32
"""Minimum input size of the default network, in pixels."""


def build_parser() -> cli.Parser:
    """Return the parser. Flags that it shares with train.py have the same defaults."""
    lists = [TrainConfig.train_list, TrainConfig.val_list, EvalConfig.test_list]
    parser = cli.Parser("Decode and resize the images of lists once, into an image cache.", __doc__)
    names = ("data_dir", "classes_file", "num_workers", "resize", "sample_bits")
    cli.add_config_arguments(parser, TrainConfig, names)
    add = parser.group("data").add_argument
    add("--lists", nargs="+", default=lists, metavar="LIST", help="list files; an image may be in several")
    add = parser.group("outputs").add_argument
    add(
        "--output_dir",
        required=True,
        metavar="DIR",
        help="folder of the cache: a new one, or an existing one to complete",
    )
    either = parser.group("outputs").add_mutually_exclusive_group()
    either.add_argument(
        "--verify", action="store_true", help="build nothing; check that every image is in the cache and undamaged"
    )
    either.add_argument(
        "--merge", nargs="+", metavar="CACHE", help="copy the images of these caches to --output_dir; reads no list"
    )
    return parser


def build_or_verify(args: argparse.Namespace) -> None:
    """Build, verify or merge caches and print the result and the next command."""
    from chexnet.data.lists import class_names, read_list
    from chexnet.data.transforms import Preprocessing

    preprocessing = Preprocessing(args.resize, crop=args.resize, sample_bits=args.sample_bits)
    if args.merge:
        merge(args, preprocessing)
        return
    classes = class_names(args.classes_file)
    lists = [read_list(path, len(classes)) for path in args.lists]
    (verify_cache if args.verify else build_cache)(args, lists, preprocessing)
    print(f"Next: {next_command(args)}")


def next_command(args: argparse.Namespace) -> str:
    """Return the command that trains on the cache, with lists chosen by name and a crop that fits."""
    default = TrainConfig()
    flags = ["--data_dir", args.data_dir, "--image_cache", args.output_dir]
    for flag, split, default_list in (
        ("--train_list", "train", default.train_list),
        ("--val_list", "val", default.val_list),
    ):
        flags += [flag, next((path for path in args.lists if split in Path(path).name.lower()), default_list)]
    if args.classes_file:
        flags += ["--classes_file", args.classes_file]
    if args.resize != default.resize:
        crop = min(args.resize, max(SMALLEST_CROP, args.resize * default.crop // default.resize))
        flags += ["--resize", str(args.resize), "--crop", str(crop)]
    if args.sample_bits != default.sample_bits:
        flags += ["--sample_bits", str(args.sample_bits)]
    return cli.command_line("python", "train.py", *flags)


def build_cache(args: argparse.Namespace, lists: "list[ImageList]", preprocessing: "Preprocessing") -> None:
    """Add missing and changed images, and report those that cannot be read."""
    from chexnet.data import cache
    from chexnet.data.images.survey import survey
    from chexnet.data.lists import check_images

    paths = [path for image_list in lists for path in check_images(image_list, args.data_dir)]
    names = [name for image_list in lists for name in image_list.names]
    if warning := survey(list(dict.fromkeys(paths)), args.sample_bits, args.num_workers):
        cli.echo(f"=> warning: {args.data_dir}: {warning}")
    with cli.progress_bar("image") as progress:
        result = cache.build_cache(args.data_dir, names, args.output_dir, preprocessing, args.num_workers, progress)
    for reason in result.failed:
        print(f"failed: {reason}")
    print(
        f"{result.added} added, {result.kept} kept, {result.redone} redone, {len(result.failed)} failed; "
        f"{result.size / 1e6:.1f} MB in {args.output_dir}"
    )
    if result.failed:
        raise InputError(
            f"{args.data_dir}: {len(result.failed)} images, listed above, cannot be read; the others are in the cache: "
            "replace the files or remove them from the lists, and run this again"
        )


def verify_cache(args: argparse.Namespace, lists: "list[ImageList]", preprocessing: "Preprocessing") -> None:
    """Check that all images are in the cache, and report damaged ones."""
    from chexnet.data.cache import ImageCache

    cache = ImageCache(args.output_dir, preprocessing)
    for image_list in lists:
        cache.rows(image_list.names, image_list.path, args.data_dir)
    with cli.progress_bar("image") as progress:
        damaged = cache.find_damaged(progress)
    for name in damaged:
        print(f"damaged: {name}")
    if damaged:
        raise InputError(
            f"{args.output_dir}: {len(damaged)} of {len(cache)} images, listed above, are damaged; remove the folder "
            "and build it again"
        )
    print(f"{len(cache)} images, all unchanged")


def merge(args: argparse.Namespace, preprocessing: "Preprocessing") -> None:
    """Merge caches into a new one."""
    from chexnet.data.cache import merge_caches

    with cli.progress_bar("image") as progress:
        images = merge_caches(args.merge, args.output_dir, preprocessing, progress)
    print(f"{args.output_dir}: {images} images of {len(args.merge)} caches, all unchanged")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), build_or_verify, argv)


if __name__ == "__main__":
    sys.exit(main())
