"""Code that the scripts share: argument parser, flags of configurations, exit codes. Imports nothing heavy."""

import argparse
import dataclasses
import difflib
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, NoReturn, TypeVar

from chexnet import __version__
from chexnet._types import ProgressFn
from chexnet.cli import process
from chexnet.config.settings import GROUPS, choices_of
from chexnet.errors import InputError, Interrupted, printable

ConfigType = TypeVar("ConfigType")

_RENAMED_FLAGS = {
    "--out": ("--output_dir", "--output", "--output_prefix"),
    "--output": ("--output_json", "--output_dir"),
    "--json": ("--output_json",),
    "--csv": ("--output_csv",),
    "--predictions": ("--output_csv",),
    "--report": ("--output_dir",),
    "--workers": ("--num_workers",),
    "--classes": ("--classes_file",),
    "--scaling": ("--normalization",),
    "--validation": ("--val_predictions",),
    "--train_val": ("--train_val_list",),
    "--test": ("--test_list",),
    "--network": ("--backbone",),
    "--epochs": ("--epoch",),
    "--data": ("--data_dir",),
}
"""Flags of version 0.1.0 -> what replaces them, depending on the script. They are suggested, not accepted."""


class _HelpWithDefaults(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Show the default of each flag that has one, and keep the layout of the examples."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        if default is None or default is False or default in ("", []) or "(default: " in (action.help or ""):
            return action.help
        if isinstance(default, list):
            return f"{action.help} (default: {' '.join(default).replace('%', '%%')})"
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with `--debug` and `--version` that shows defaults and examples and reports errors in one line.

    Flags cannot be abbreviated.

    Args:
        description: purpose of the script, in one line.
        documentation: docstring of the script; its indented lines are shown as examples.
    """

    def __init__(self, description: str, documentation: str | None = None) -> None:
        examples = "\n".join(line for line in (documentation or "").split("\n") if line.startswith("    "))
        epilog = f"examples:\n{examples}" if examples else None
        super().__init__(description=description, epilog=epilog, formatter_class=_HelpWithDefaults, allow_abbrev=False)
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")
        self.add_argument(
            "--version", action="version", version=f"Paddle-CheXNet {__version__}", help="show the version"
        )

    def group(self, title: str) -> argparse._ArgumentGroup:
        """Return the group of arguments with this title, new or existing."""
        existing = (group for group in self._action_groups if group.title == title)
        return next(existing, None) or self.add_argument_group(title)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, and store the arguments for `error`."""
        self._arguments = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def explicit_args(self, argv: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the values of the flags that `argv` contains; defaults of other flags are left out."""
        absent = object()
        flags = argparse.Namespace(**dict.fromkeys((action.dest for action in self._actions), absent))
        return {name: value for name, value in vars(self.parse_args(argv, flags)).items() if value is not absent}

    def error(self, message: str) -> NoReturn:
        """Print one line to standard error and exit with code 2."""
        line = printable(" ".join(message.splitlines()))
        self.exit(2, f"error: {line} ({self._suggestion()}--help lists the flags)\n")

    def _suggestion(self) -> str:
        """Return a question that names the known flags closest to the unknown ones."""
        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        flags = [text.partition("=")[0] for text in self._arguments if text.startswith("--")]
        close: list[str] = []
        for unknown in (flag for flag in flags if flag not in known):
            renamed = [flag for flag in _RENAMED_FLAGS.get(unknown, ()) if flag in known]
            close += renamed[:1] or difflib.get_close_matches(unknown, known, n=1)
        return f"did you mean {' and '.join(dict.fromkeys(close))}? " if close else ""


def run(
    parser: Parser,
    command: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
    *,
    several_processes: bool = False,
) -> int:
    """Parse `argv`, call `command` and return the exit code: 0, 2 for bad input, 128 + the number of a fatal signal.

    `command` receives the parsed arguments; `args.explicit_args` is the dictionary of those in `argv`. Its output is
    made safe for a terminal.

    Args:
        parser: the script's parser.
        command: the work of the script.
        argv: the arguments; None takes those of the process.
        several_processes: whether the script may run under Paddle's launcher. All others refuse, because each process
            would do the whole work and write the same files.
    """
    with process.safe_output() as stdout:
        args = parser.parse_args(argv)
        args.explicit_args = parser.explicit_args(argv)
        code = _run(args, command if several_processes else process.in_one_process(command))
        if stdout.error:
            process.discard_stdout()
            print(f"error: standard output: cannot be written: {stdout.error.strerror}", file=sys.stderr)
            return code or 2
        return code


def _run(args: argparse.Namespace, command: Callable[[argparse.Namespace], None]) -> int:
    with process.interrupt_on_signals() as received:
        try:
            try:
                with process.usable_home(), process.quiet_libraries(), process.one_line_warnings():
                    command(args)
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
            if not received:
                print("interrupted", file=sys.stderr)
                return 130
        except BrokenPipeError:
            process.discard_stdout()  # the reader of the pipe (head, less) has exited
            return 141
        if not received:
            return 0
        print(f"ended by {received[0].name}", file=sys.stderr)
        return 128 + received[0]


def add_config_arguments(parser: Parser, config: Any, names: Collection[str] | None = None) -> None:
    """Add the flags of a configuration class, in groups, with its defaults.

    Args:
        parser: parser to extend.
        config: dataclass whose fields are made by `chexnet.config.settings.setting`; other fields have no flag.
        names: fields to add; None adds all.
    """
    fields = [field for field in dataclasses.fields(config) if field.metadata]
    chosen = [field for field in fields if names is None or field.name in names]
    for field in sorted(chosen, key=lambda field: GROUPS.index(field.metadata["group"])):
        metadata = field.metadata
        add = partial(parser.group(metadata["group"]).add_argument, f"--{field.name}", help=metadata["help"])
        if field.default is False:
            add(action="store_true")
            continue
        required = field.default is dataclasses.MISSING
        default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        add(
            type=metadata["type"],
            choices=choices_of(field),
            metavar=metadata["metavar"],
            nargs=metadata["nargs"],
            required=required,
            default=None if required else default,
        )


def config_from_args(config: type[ConfigType], args: argparse.Namespace, **changes: Any) -> ConfigType:
    """Return a configuration with the values of the flags; `changes` take precedence."""
    fields = {field.name for field in dataclasses.fields(config)} & vars(args).keys()  # type: ignore[arg-type]
    return config(**{**{name: getattr(args, name) for name in fields}, **changes})


def command_line(*words: str | os.PathLike[str]) -> str:
    """Return a command line that can be pasted into a shell, quoted where necessary."""
    texts = [os.fspath(word) for word in words]
    return subprocess.list2cmdline(texts) if os.name == "nt" else shlex.join(texts)


def lines_of_stdin() -> Iterator[str]:
    """Yield the non-empty lines of standard input as file names; undecodable bytes are preserved."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors=sys.getfilesystemencodeerrors())
    yield from filter(None, (line.rstrip("\r\n") for line in sys.stdin))


def echo(line: str) -> None:
    """Print a line without buffering, above any progress bar."""
    tqdm = sys.modules.get("tqdm")
    with tqdm.tqdm.external_write_mode() if tqdm else nullcontext():
        print(line, flush=True)


@contextmanager
def progress_bar(unit: str) -> Iterator[ProgressFn]:
    """Show a progress bar on standard error; yields the function that updates it."""
    from tqdm import tqdm

    with ExitStack() as stack:
        bars: list[tqdm] = []  # created at the first update, so that earlier lines are printed without a bar

        def update(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(tqdm(total=total, unit=unit, file=sys.stderr)))
            (bar,) = bars
            if done < bar.n:  # a new task has started
                bar.reset()
            bar.total = total
            bar.update(done - bar.n)

        yield update
