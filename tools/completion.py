"""Print a script that completes the commands and flags of `chexnet` in a shell.

    chexnet completion bash > ~/.local/share/bash-completion/completions/chexnet
    chexnet completion zsh > ~/.zfunc/_chexnet

It needs the package shtab: pip install "paddle-chexnet[completion]".
"""

import argparse
import sys
from collections.abc import Sequence

from chexnet import cli
from chexnet.cli import commands
from chexnet.errors import InputError

SHELLS = ("bash", "zsh", "tcsh")


def build_parser() -> cli.Parser:
    """Return the parser."""
    parser = cli.Parser("Print a completion script for a shell.", __doc__)
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    return parser


def print_completion(args: argparse.Namespace) -> None:
    """Print the script."""
    try:
        import shtab
    except ImportError as error:
        raise InputError('needs shtab: pip install "paddle-chexnet[completion]"') from error
    parser = argparse.ArgumentParser("chexnet")
    subparsers = parser.add_subparsers()
    for name, script in commands.SCRIPTS.items():
        own = commands.load_script(script).build_parser()
        subparsers.add_parser(name, parents=[own], add_help=False, help=commands.summary(script))
    print(shtab.complete(parser, args.shell))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return cli.run(build_parser(), print_completion, argv)


if __name__ == "__main__":
    sys.exit(main())
