"""What the scripts share: a parser, argument types and one way to fail. Imports nothing heavy."""

import argparse
import logging
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NoReturn

from chexnet.config import (
    BACKBONES,
    CROPS,
    DEFAULT_CROPS,
    ENGINES,
    PRECISIONS,
    EvalConfig,
    LocalizationConfig,
    PredictConfig,
)
from chexnet.errors import InputError, Interrupted


class _HelpWithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of a flag that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that knows `--debug`, shows defaults, and complains in one line."""

    def __init__(self, description: str) -> None:
        super().__init__(description=description, formatter_class=_HelpWithDefaults)
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def given(self, argv: Sequence[str] | None = None) -> dict[str, Any]:
        """The values of the flags that stand in `argv`, without those that have their default for being absent."""
        absent = object()
        flags = argparse.Namespace(**dict.fromkeys((action.dest for action in self._actions), absent))
        return {name: value for name, value in vars(self.parse_args(argv, flags)).items() if value is not absent}

    def error(self, message: str) -> NoReturn:
        """Prints one line to standard error and exits with code 2."""
        self.exit(2, f"error: {message} (--help lists the flags)\n")


def run(parser: Parser, body: Callable[[argparse.Namespace], None], argv: Sequence[str] | None = None) -> int:
    """Parses `argv`, calls `body` and returns the exit code: 0, 2 for bad input, 128 + the signal that ended it.

    `body` gets the flags and, as `given`, the dictionary of those that were set.
    """
    args = parser.parse_args(argv)
    args.given = parser.given(argv)
    for message in ("No ccache found", "When training, we now always track"):  # Paddle's remarks about itself
        warnings.filterwarnings("ignore", message=message)
    os.environ.setdefault("GLOG_minloglevel", "2")  # errors of Paddle's compiled part; read when it is imported
    for library in ("paddle.utils.download", "matplotlib"):  # Paddle shows what they note for themselves
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        body(args)
    except InputError as error:
        if args.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signal
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; point stdout elsewhere so that exit is silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def add_computing_flags(
    parser: Parser, default: EvalConfig | LocalizationConfig | PredictConfig, workers: bool = True
) -> None:
    """Adds the flags that say how a trained network computes; their defaults are those of the configuration."""
    add = parser.add_argument
    add(
        "--crops",
        type=int,
        choices=CROPS,
        default=default.crops,
        help=f"crops per image, averaged; if not given, what the JSON of the checkpoint says, else {DEFAULT_CROPS}",
    )
    add("--device", choices=("auto", "cpu", "gpu"), default=default.device, help="where to compute")
    if workers:
        add("--num_workers", type=non_negative_int, default=default.num_workers, help="threads beside the network's")
    add(
        "--engine",
        choices=("auto", *ENGINES),
        default=default.engine,
        help="what computes; auto: Paddle on a GPU, else the fastest one installed",
    )
    add("--precision", choices=PRECISIONS, default=default.precision, help="of the arithmetic, if the machine has it")


def add_checkpoint_flags(parser: Parser) -> None:
    """Adds the flags that say what a weight file is, where the JSON beside it does not."""
    add = parser.add_argument
    add("--backbone", choices=BACKBONES, help="network of the weight file, if no JSON beside it says; densenet121 else")
    add("--classes", metavar="FILE", help="names of its classes, one a line, if no JSON says; the 14 else")


def command_line(*words: str | os.PathLike[str]) -> str:
    """Return a command as a person pastes it into a shell, with the quotes that its words need."""
    texts = [os.fspath(word) for word in words]
    return subprocess.list2cmdline(texts) if os.name == "nt" else shlex.join(texts)


def say(line: str) -> None:
    """Prints a line at once, also into a file or a pipe."""
    print(line, flush=True)


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, moved by calling what is yielded with (done, total)."""
    from tqdm import tqdm

    with tqdm(unit=unit, file=sys.stderr, delay=0.1) as bar:

        def move(done: int, total: int) -> None:
            if done < bar.n:  # the next piece of work
                bar.reset()
            bar.total = total
            bar.update(done - bar.n)

        yield move


def positive_int(text: str) -> int:
    """argparse type: a whole number of at least 1."""
    return _whole_number(text, least=1)


def non_negative_int(text: str) -> int:
    """argparse type: a whole number of at least 0."""
    return _whole_number(text, least=0)


def seed(text: str) -> int:
    """argparse type: a whole number from 0 to 2**32 - 1, what every random generator takes."""
    value = _whole_number(text, least=0)
    if value >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number below 2**32")
    return value


def positive_float(text: str) -> float:
    """argparse type: a finite number above 0."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above 0")
    return value


def non_negative_float(text: str) -> float:
    """argparse type: a finite number of at least 0."""
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number of at least 0")
    return value


def fraction(text: str) -> float:
    """argparse type: a number from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def rising_epochs(text: str) -> tuple[int, ...]:
    """argparse type: `10,15,18` -> (10, 15, 18); an empty text means none."""
    try:
        epochs = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        epochs = (0,)
    if any(epoch < 1 for epoch in epochs) or any(a >= b for a, b in pairwise(epochs)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a rising list of epochs such as 10,15,18")
    return epochs


def _whole_number(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
