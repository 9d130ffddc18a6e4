"""Check whether this machine can train on a GPU, and print the commands for what is missing.

    python tools/check_gpu.py
    python tools/check_gpu.py --link_libraries cuda_links

The check finds the driver, the cards and Paddle's build, and reads for which cards that build has machine code. If
nothing is missing, it runs one training step and one evaluation on the GPU and compares them with the CPU. The exit
code is 0 if both agree, otherwise 2. --link_libraries creates the links that Paddle 2.6.2 from PyPI needs.
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence

from chexnet import cli
from chexnet.errors import InputError

WIDTH = 79


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Check whether this machine can train on a GPU; exit code 0 if it can, 2 if not.", __doc__)
    parser.group("outputs").add_argument(
        "--link_libraries",
        metavar="DIR",
        help="instead, create the links to NVIDIA's packages that Paddle 2.6.2 from PyPI needs",
    )
    return parser


def check_gpu(args: argparse.Namespace) -> None:
    """Check the machine, or create the links, and print the result."""
    from chexnet import gpu

    if args.link_libraries:
        folder = gpu.link_libraries(args.link_libraries)
        print("Before python starts, in each shell:")
        print(f"    export LD_LIBRARY_PATH={cli.command_line(folder)}:$LD_LIBRARY_PATH")
        return
    cli.echo("=> checking card, driver and Paddle; if they work, GPU and CPU are compared")
    check = gpu.check_gpu()
    for name, value in check.facts:
        print_wrapped(f"{name:12} {value}", " " * 13)
    for number, step in enumerate(check.steps, 1):
        print_wrapped(f"{number}. {step.reason}", "   ")
        for remedy in step.remedies:
            print_wrapped(f"   {remedy}", " " * 7, continuation=" \\")
    if not check.works:
        raise InputError("the GPU cannot be used yet, see above; --device cpu works without it")
    print("The GPU works and agrees with the CPU.")


def print_wrapped(line: str, indent: str, continuation: str = "") -> None:
    """Print a line in the width of a terminal; `continuation` ends all rows but the last."""
    rows = textwrap.wrap(
        line, WIDTH - len(continuation), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    print(f"{continuation}\n".join(rows))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), check_gpu, argv)


if __name__ == "__main__":
    sys.exit(main())
