"""Fetches the images of ChestX-ray14 from NIH, 12 archives of 42 GB in all, and unpacks them.

    python tools/download_nih.py --out dataset

gives dataset/images/*.png and keeps the archives in dataset/archives. Interrupt it at any time; the same command goes
on. With --urls it fetches the archives of a file that has `URL [SHA-256]` a line. docs/data.md says more.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from chexnet import cli


def build_parser() -> cli.Parser:
    """The flags."""
    parser = cli.Parser("Fetch and unpack the images of ChestX-ray14.", __doc__)
    add = parser.add_argument
    add("--out", default="dataset", metavar="DIR", help="folder to unpack into, which gets a folder images")
    add("--archives", metavar="DIR", help="folder for the archives; without it, the folder archives in --out")
    add("--urls", metavar="FILE", help="`URL [SHA-256]` a line, in place of NIH's twelve archives")
    return parser


def body(args: argparse.Namespace) -> None:
    """Fetches all archives, then unpacks them."""
    from chexnet.download import NIH, fetch, read_sources, unpack
    from chexnet.files import locked

    sources = read_sources(args.urls) if args.urls else NIH
    folder = Path(args.archives or Path(args.out, "archives"))
    with locked(folder), cli.progress_bar("MB") as progress:

        def in_megabytes(done: int, total: int) -> None:
            progress(done // 10**6, total // 10**6)

        archives = [fetch(source, folder, in_megabytes, cli.say) for source in sources]
        counts = [unpack(archive, args.out, in_megabytes) for archive in archives]
    for archive, count in zip(archives, counts, strict=True):
        print(f"{archive.name}: {count:,} files in {args.out}")
    print(f"The archives in {folder} are not needed any more.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(build_parser(), body, argv)


if __name__ == "__main__":
    sys.exit(main())
