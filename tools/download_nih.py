"""Download the images of ChestX-ray14 from NIH (twelve archives, 42 GB in total) and unpack them.

    python tools/download_nih.py --output_dir dataset

This writes dataset/images/*.png and keeps the archives in dataset/archives. You can interrupt it at any time: the same
command resumes. With --urls it downloads the archives listed in a file, `URL [SHA-256]` per line. docs/data.md has the
details.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from chexnet import cli


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Download and unpack the images of ChestX-ray14.", __doc__)
    add = parser.add_argument
    add("--output_dir", default="dataset", metavar="DIR", help="folder to unpack into; the images go to DIR/images")
    add("--archives", metavar="DIR", help="folder for the archives (default: OUTPUT_DIR/archives)")
    add(
        "--urls",
        metavar="FILE",
        help="file with one archive per line, `URL [SHA-256]` (default: NIH's twelve archives)",
    )
    return parser


def download_and_unpack(args: argparse.Namespace) -> None:
    """Download all archives, then unpack them."""
    from chexnet.data.download import NIH, fetch, read_sources, unpack
    from chexnet.files import exclusive_lock

    sources = read_sources(args.urls) if args.urls else NIH
    folder = Path(args.archives or Path(args.output_dir, "archives"))
    with exclusive_lock(folder), cli.progress_bar("MB") as progress:

        def in_megabytes(done: int, total: int) -> None:
            progress(done // 10**6, total // 10**6)

        archives = [fetch(source, folder, in_megabytes, cli.echo) for source in sources]
        counts = [unpack(archive, args.output_dir, in_megabytes) for archive in archives]
    for archive, count in zip(archives, counts, strict=True):
        print(f"{archive.name}: {count:,} files in {args.output_dir}")
    print(f"The archives in {folder} are no longer needed.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), download_and_unpack, argv)


if __name__ == "__main__":
    sys.exit(main())
