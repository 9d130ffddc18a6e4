"""Temporary changes to a script's own process: safe output, signals, home folder, quiet libraries."""

import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from types import FrameType
from typing import IO, Any, TextIO, cast

from chexnet.cli.commands import name_commands
from chexnet.config import GRAPH_CACHE_OFF, GRAPH_CACHE_VARIABLE
from chexnet.errors import InputError, InputWarning, printable
from chexnet.files.user_cache import default_graph_cache

CACHE = os.path.join(".cache", "paddle", "dataset")
"""Folder that Paddle creates when it is imported, relative to the home folder."""


class SafeStream:
    """A text stream that escapes control characters and characters that the terminal cannot show.

    A process that runs a sub-command of `chexnet` names its commands, not the scripts, see `commands.name_commands`.

    Attributes:
        error: first error of a write, for example of a full disk. Later writes are discarded without an exception.
    """

    def __init__(self, stream: TextIO, keep: str) -> None:
        self.error: OSError | None = None
        self._stream = stream
        self._keep = keep

    def write(self, text: str) -> int:
        """Write a text, unless an earlier write has failed."""
        encoding = self._stream.encoding or "utf-8"
        safe = printable(name_commands(text), self._keep).encode(encoding, "backslashreplace").decode(encoding)
        self._try(lambda: self._stream.write(safe))
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless an earlier write has failed."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Callable[[], object]) -> None:
        if self.error is None:
            try:
                action()
            except BrokenPipeError:
                raise
            except OSError as error:
                self.error = error


@contextmanager
def safe_output() -> Iterator[SafeStream]:
    """Make standard output and standard error safe for a terminal, see `chexnet.errors.printable`.

    Both show untrusted text: file names, image headers, texts in weight files. Carriage returns are allowed on standard
    error only, for progress bars.

    Yields:
        The stream that replaces standard output.
    """
    # If the shell has closed a stream, a file takes its descriptor, so that compiled code writes to no other file.
    stdout, stderr = (stream or open(os.devnull, "w", encoding="utf-8") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    safe = SafeStream(stdout, "\n\t")
    with redirect_stdout(cast(IO[str], safe)), redirect_stderr(cast(IO[str], SafeStream(stderr, "\n\t\r"))):
        yield safe


def discard_stdout() -> None:
    """Redirect standard output to the null device, so that Python's final flush cannot fail."""
    with suppress(OSError):  # the stream is not a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def in_one_process(command: Callable[[Namespace], None]) -> Callable[[Namespace], None]:
    """Return a command that raises InputError if Paddle's launcher started this process as one of several."""

    def refusing(args: Namespace) -> None:
        processes = os.environ.get("PADDLE_TRAINERS_NUM", "1")
        if processes.isdecimal() and int(processes) > 1:
            raise InputError(
                f"launched as {processes} processes, expected one: only train.py shares its work between the processes "
                "of paddle.distributed.launch; docs/scaling.md describes how to score millions of images by parts"
            )
        command(args)

    return refusing


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show each InputWarning once, as a line on standard error; other warnings are unchanged."""
    show_other = warnings.showwarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        if issubclass(category, InputWarning):
            print(f"warning: {message}", file=sys.stderr)
        else:
            show_other(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("default", InputWarning)
        warnings.showwarning = show
        yield


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence messages of other libraries that do not concern the user or repeat ours.

    These are notes of Paddle, Matplotlib and highdicom, and warnings of image decoders about pixel limits and metadata
    that `chexnet.data.images` checks too.
    """
    with ExitStack() as stack:
        level = "GLOG_minloglevel"  # read by Paddle's compiled code at import; 2 shows errors only
        stack.callback(_set, level, os.environ.get(level))
        os.environ.setdefault(level, "2")
        for library in ("paddle.utils.download", "matplotlib", "highdicom"):
            logger = logging.getLogger(library)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.WARNING)
        stack.enter_context(warnings.catch_warnings())
        # Appended, so that filters chosen by the user have priority.
        warnings.filterwarnings("ignore", message=r"Image size .* exceeds limit", append=True)
        warnings.filterwarnings("ignore", message="When training, we now always track", append=True)
        warnings.filterwarnings("ignore", module=r"(pydicom|highdicom)\b|PIL\.TiffImagePlugin", append=True)
        yield


@contextmanager
def usable_home() -> Iterator[None]:
    """Give the process a temporary home folder if its own one is not writable.

    Paddle and Matplotlib store files there, and Paddle cannot be imported without it. The graph cache, whose files
    outlive the process, stays in the own home folder, where it may still be readable.
    """
    with ExitStack() as stack:
        if not _is_writable(os.path.expanduser(os.path.join("~", CACHE))):
            try:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chexnet-home-"))
            except OSError:  # nothing is writable; code that has to write will report it
                yield
                return
            home = "USERPROFILE" if os.name == "nt" else "HOME"
            changes = {GRAPH_CACHE_VARIABLE: default_graph_cache() or GRAPH_CACHE_OFF, home: folder}
            for variable, value in changes.items():
                stack.callback(_set, variable, os.environ.get(variable))
                _set(variable, value)
        yield


def _is_writable(folder: str) -> bool:
    """Return whether a folder, or its nearest existing parent, is writable, by creating an unnamed file."""
    if not os.path.isabs(folder):
        return False  # the home folder is unknown
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _set(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


@contextmanager
def interrupt_on_signals() -> Iterator[list[signal.Signals]]:
    """Raise KeyboardInterrupt on SIGTERM and SIGHUP, as on Ctrl-C, so that temporary files are removed.

    Signals that are already handled or ignored, for example by `nohup`, stay so. Only the main thread can handle
    signals; in another thread, this has no effect.

    Yields:
        A list that receives the first signal. Later ones are ignored, so that the cleanup can finish.
    """
    received: list[signal.Signals] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(signal.Signals(number))
            raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    in_main_thread = threading.current_thread() is threading.main_thread()
    handled = [number for number in numbers if in_main_thread and signal.getsignal(number) == signal.SIG_DFL]
    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number in handled:
            if signal.getsignal(number) is interrupt:
                signal.signal(number, signal.SIG_DFL)
