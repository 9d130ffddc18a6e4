"""What the scripts share: a parser, argument types and one way to fail. Imports nothing heavy."""

import argparse
import difflib
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import pairwise
from typing import Any, NoReturn

from chexnet import __version__, process
from chexnet.backbone_registry import list_backbones
from chexnet.config import (
    CROPS,
    DEFAULT_CROPS,
    ENGINES,
    MAX_SAMPLE_BITS,
    MIN_SAMPLE_BITS,
    PRECISIONS,
    InferenceConfig,
)
from chexnet.errors import InputError, Interrupted, printable


class _HelpWithDefaults(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the default of a flag that has one, and examples as they are."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that knows `--debug`, shows defaults and examples, and complains in one line.

    Args:
        description: what the script does, in a line.
        documentation: the script's docstring, whose indented lines are its examples.
    """

    def __init__(self, description: str, documentation: str | None = None) -> None:
        examples = "\n".join(line for line in (documentation or "").split("\n") if line.startswith("    "))
        epilog = f"examples:\n{examples}" if examples else None
        super().__init__(description=description, epilog=epilog, formatter_class=_HelpWithDefaults)
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")
        self.add_argument(
            "--version", action="version", version=f"Paddle-CheXNet {__version__}", help="show the version"
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does it, and keeps the arguments for `error`."""
        self._arguments = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def given(self, argv: Sequence[str] | None = None) -> dict[str, Any]:
        """The values of the flags that stand in `argv`, without those that have their default for being absent."""
        absent = object()
        flags = argparse.Namespace(**dict.fromkeys((action.dest for action in self._actions), absent))
        return {name: value for name, value in vars(self.parse_args(argv, flags)).items() if value is not absent}

    def error(self, message: str) -> NoReturn:
        """Prints one line to standard error and exits with code 2."""
        line = printable(" ".join(message.splitlines()))
        self.exit(2, f"error: {line} ({self._meant()}--help lists the flags)\n")

    def _meant(self) -> str:
        """Known flags that look like the unknown ones."""
        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        flags = [text.partition("=")[0] for text in self._arguments if text.startswith("--")]
        unknown = [flag for flag in flags if not any(one.startswith(flag) for one in known)]
        close = [match for flag in unknown for match in difflib.get_close_matches(flag, known, n=1)]
        return f"did you mean {' and '.join(dict.fromkeys(close))}? " if close else ""


def run(parser: Parser, body: Callable[[argparse.Namespace], None], argv: Sequence[str] | None = None) -> int:
    """Parses `argv`, calls `body` and returns the exit code: 0, 2 for bad input, 128 + the signal that ended it.

    `body` gets the flags and, as `given`, the dictionary of those that were set. What it prints is safe for a terminal.
    """
    with process.safe_output() as stdout:
        args = parser.parse_args(argv)
        args.given = parser.given(argv)
        code = _run(args, body)
        if stdout.error:
            process.forget_stdout()
            print(f"error: standard output: cannot be written: {stdout.error.strerror}", file=sys.stderr)
            return code or 2
        return code


def _run(args: argparse.Namespace, body: Callable[[argparse.Namespace], None]) -> int:
    with process.ended_by_signals() as ended:
        try:
            try:
                with process.usable_home(), process.quiet_libraries(), process.one_line_warnings():
                    body(args)
            finally:
                sys.stdout.flush()
        except InputError as error:
            if args.debug:
                raise
            print(f"error: {error}", file=sys.stderr)
            return 2
        except Interrupted as stop:
            print(stop, file=sys.stderr)
            return 128 + stop.signal
        except KeyboardInterrupt:
            if not ended:
                print("interrupted", file=sys.stderr)
                return 130
        except BrokenPipeError:
            process.forget_stdout()  # its reader (head, less) has gone
            return 141
        if not ended:
            return 0
        print(f"ended by {ended[0].name}", file=sys.stderr)
        return 128 + ended[0]


def add_computing_flags(parser: Parser, default: InferenceConfig, workers: bool = True) -> None:
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
    add_sample_bits_flag(parser, default.sample_bits)


def add_sample_bits_flag(parser: Parser, default: int | None) -> None:
    """Adds the flag for image files whose samples use fewer bits than the files declare."""
    parser.add_argument(
        "--sample_bits",
        type=sample_bits,
        default=default,
        metavar="N",
        help="bits per sample that image files use, if they declare more: samples are scaled by 2^N - 1 then "
        + ("(default: what the checkpoint's JSON says, else 16)" if default is None else "and not by 65535"),
    )


def add_checkpoint_flags(parser: Parser) -> None:
    """Adds the flags that say what a weight file is, where the JSON beside it does not."""
    add = parser.add_argument
    backbone_help = "network of the weight file, if no JSON beside it says; densenet121 else"
    add("--backbone", choices=list_backbones(), help=backbone_help)
    add("--classes", metavar="FILE", help="names of its classes, one a line, if no JSON says; the 14 else")


def command_line(*words: str | os.PathLike[str]) -> str:
    """Return a command as a person pastes it into a shell, with the quotes that its words need."""
    texts = [os.fspath(word) for word in words]
    return subprocess.list2cmdline(texts) if os.name == "nt" else shlex.join(texts)


def lines_of_stdin() -> Iterator[str]:
    """Lines of standard input that are not empty, as names of files: bytes that are no text are kept as they are."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors=sys.getfilesystemencodeerrors())
    yield from filter(None, (line.rstrip("\r\n") for line in sys.stdin))


def say(line: str) -> None:
    """Prints a line at once, also into a file or a pipe; a progress bar makes room for it."""
    tqdm = sys.modules.get("tqdm")
    with tqdm.tqdm.external_write_mode() if tqdm else nullcontext():
        print(line, flush=True)


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, moved by calling what is yielded with (done, total)."""
    from tqdm import tqdm

    with ExitStack() as stack:
        bars: list[tqdm] = []  # none before there is progress to show: lines would make room for it

        def move(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(tqdm(total=total, unit=unit, file=sys.stderr)))
            (bar,) = bars
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


def sample_bits(text: str) -> int:
    """argparse type: a whole number from MIN_SAMPLE_BITS to MAX_SAMPLE_BITS."""
    value = _whole_number(text, least=MIN_SAMPLE_BITS)
    if value > MAX_SAMPLE_BITS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at most {MAX_SAMPLE_BITS}")
    return value


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
