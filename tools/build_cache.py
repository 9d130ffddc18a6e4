"""Decodes and resizes the images of lists once, for train.py and eval.py to read instead of the files.

    python tools/build_cache.py --data_dir dataset/images --out cache

writes cache/images.bin, 64 KiB for each image of ChestX-ray14, and cache/manifest.txt. Interrupt it at any
time; the same command goes on. It adds new images of the lists, and does those again whose files have
changed. With --verify it writes nothing and reads everything. docs/data.md says more.
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
    from chexnet.lists import ImageList
    from chexnet.transforms import Preprocessing


SMALLEST_CROP = 32
"""Pixels that the default network needs."""


def build_parser() -> cli.Parser:
    """The flags; those that train.py has too have its defaults."""
    default = TrainConfig()
    lists = [default.train_list, default.val_list, EvalConfig().test_list]
    parser = cli.Parser("Decode and resize the images of lists once, into an image cache.", __doc__)
    add = parser.add_argument
    add("--data_dir", default=default.data_dir, help="folder of the images")
    add("--lists", nargs="+", default=lists, metavar="LIST", help="list files; an image may stand in several")
    add(
        "--classes", metavar="FILE", help="file with the class names of the lists, one per line, if they are not the 14"
    )
    add("--out", required=True, metavar="DIR", help="folder of the cache, new or to be continued")
    add("--workers", type=cli.non_negative_int, default=default.num_workers, help="decoding threads")
    add("--resize", type=cli.positive_int, default=default.resize, help="shorter side after resizing, pixels")
    cli.add_sample_bits_flag(parser, default.sample_bits)
    add("--verify", action="store_true", help="build nothing; check that every image is there and undamaged")
    return parser


def body(args: argparse.Namespace) -> None:
    """Builds or verifies a cache and prints what came of it."""
    from chexnet.lists import class_names, read_list
    from chexnet.transforms import Preprocessing

    preprocessing = Preprocessing(args.resize, crop=args.resize, sample_bits=args.sample_bits)
    classes = class_names(args.classes)
    lists = [read_list(path, len(classes)) for path in args.lists]
    (verify if args.verify else build)(args, lists, preprocessing)
    print(f"Next: {next_command(args)}")


def next_command(args: argparse.Namespace) -> str:
    """Return the command that trains on the cache, with the lists that are named for it and a crop that fits."""
    default = TrainConfig()
    flags = ["--data_dir", args.data_dir, "--image_cache", args.out]
    for flag, part, usual in (("--train_list", "train", default.train_list), ("--val_list", "val", default.val_list)):
        flags += [flag, next((path for path in args.lists if part in Path(path).name.lower()), usual)]
    if args.classes:
        flags += ["--classes", args.classes]
    if args.resize != default.resize:
        crop = min(args.resize, max(SMALLEST_CROP, args.resize * default.crop // default.resize))
        flags += ["--resize", str(args.resize), "--crop", str(crop)]
    if args.sample_bits != default.sample_bits:
        flags += ["--sample_bits", str(args.sample_bits)]
    return cli.command_line("python", "train.py", *flags)


def build(args: argparse.Namespace, lists: "list[ImageList]", preprocessing: "Preprocessing") -> None:
    """Adds what is missing; names the images that could not be read."""
    from chexnet import cache
    from chexnet.images.survey import survey
    from chexnet.lists import check_images

    paths = [path for image_list in lists for path in check_images(image_list, args.data_dir)]
    names = [name for image_list in lists for name in image_list.names]
    if warning := survey(list(dict.fromkeys(paths)), args.sample_bits, args.workers):
        cli.say(f"=> warning: {args.data_dir}: {warning}")
    with cli.progress_bar("image") as progress:
        result = cache.build(args.data_dir, names, args.out, preprocessing, args.workers, progress)
    for reason in result.failed:
        print(f"failed: {reason}")
    print(
        f"{result.added} added, {result.kept} kept, {result.redone} redone, {len(result.failed)} failed; "
        f"{result.size / 1e6:.1f} MB in {args.out}"
    )
    if result.failed:
        raise InputError(
            f"{args.data_dir}: {len(result.failed)} images named above cannot be read; the others are in the cache: "
            "replace the files, or take them off the lists, and run this again"
        )


def verify(args: argparse.Namespace, lists: "list[ImageList]", preprocessing: "Preprocessing") -> None:
    """Names the images whose bytes are wrong."""
    from chexnet.cache import ImageCache

    cache = ImageCache(args.out, preprocessing)
    for image_list in lists:
        cache.rows(image_list.names, image_list.path, args.data_dir)
    with cli.progress_bar("image") as progress:
        damaged = cache.damaged(progress)
    for name in damaged:
        print(f"damaged: {name}")
    if damaged:
        raise InputError(
            f"{args.out}: {len(damaged)} of {len(cache)} images, named above, are not as they were written; "
            "remove the folder and build it again"
        )
    print(f"{len(cache)} images, all as they were written")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
