"""Check this machine and installation: versions, devices, engines, memory, folders, and what to do about each fault.

    python tools/doctor.py

The exit code is 2 if something must be repaired before anything can be computed, otherwise 0. Issue reports should
contain the output; it names folders and versions, and nothing of your data.
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence

from chexnet import cli
from chexnet.errors import InputError

WIDTH = 100


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Check this machine and installation.", __doc__)
    parser.group("outputs").add_argument(
        "--output_dir", default=".", metavar="DIR", help="folder that later runs are to write to"
    )
    return parser


def show_checks(args: argparse.Namespace) -> None:
    """Print each check when it is done."""
    from chexnet.doctor import check_machine

    fatal = []
    for check in check_machine(args.output_dir):
        indent = " " * 18
        print(
            textwrap.fill(
                f"{check.topic:16}  {check.found}",
                WIDTH,
                subsequent_indent=indent,
                break_on_hyphens=False,
                break_long_words=False,
            )
        )
        if check.advice:
            print(textwrap.fill(f"-> {check.advice}", WIDTH, initial_indent=indent, subsequent_indent=indent))
        if check.fatal:
            fatal.append(check.topic)
    if fatal:
        raise InputError(f"nothing can be computed before this is repaired: {', '.join(fatal)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), show_checks, argv)


if __name__ == "__main__":
    sys.exit(main())
