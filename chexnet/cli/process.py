"""What a script does to its own process, and takes back when it ends: output, signals, home folder, other's notes."""

import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from types import FrameType
from typing import IO, Any, TextIO, cast

from chexnet.errors import InputWarning, printable

CACHE = os.path.join(".cache", "paddle", "dataset")
"""Where Paddle makes a folder when it is imported, below the home folder."""


class SafeStream:
    """A text stream that escapes what a terminal may obey or cannot show, and that may become full.

    Attributes:
        error: why nothing can be written to it any more, if so; what is written then is lost, and nothing else.
    """

    def __init__(self, stream: TextIO, keep: str) -> None:
        self.error: OSError | None = None
        self._stream = stream
        self._keep = keep

    def write(self, text: str) -> int:
        """Write a text, unless that has failed before."""
        encoding = self._stream.encoding or "utf-8"
        safe = printable(text, self._keep).encode(encoding, "backslashreplace").decode(encoding)
        self._try(lambda: self._stream.write(safe))
        return len(text)

    def flush(self) -> None:
        """Write what waits, unless that has failed before."""
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

    File names, headers of images and texts in weight files reach them, and belong to somebody else. Progress bars
    on standard error go back to the line's beginning; nothing on standard output does.

    Yields:
        Standard output.
    """
    # Where the shell has closed it, a file with its number stands in, for what compiled code writes to that number.
    stdout, stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    safe = SafeStream(stdout, "\n\t")
    with redirect_stdout(cast(IO[str], safe)), redirect_stderr(cast(IO[str], SafeStream(stderr, "\n\t\r"))):
        yield safe


def forget_stdout() -> None:
    """Point standard output elsewhere, so that Python's last attempt to write to it is silent."""
    with suppress(OSError):  # of a stream that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show each InputWarning once, as a line on standard error; other warnings as before."""
    shown = warnings.showwarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        if issubclass(category, InputWarning):
            print(f"warning: {message}", file=sys.stderr)
        else:
            shown(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("default", InputWarning)
        warnings.showwarning = show
        yield


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Leaves out what other libraries note for themselves; what of it matters to a user is in our own words.

    These are Paddle's and Matplotlib's remarks, and the warnings of decoders, which look at the same limits on pixels
    and the same metadata as `chexnet.data.images` does.
    """
    with ExitStack() as stack:
        level = "GLOG_minloglevel"  # of Paddle's compiled part, which reads it when it is imported; 2 is errors
        stack.callback(_set, level, os.environ.get(level))
        os.environ.setdefault(level, "2")
        for library in ("paddle.utils.download", "matplotlib"):
            logger = logging.getLogger(library)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.WARNING)
        stack.enter_context(warnings.catch_warnings())
        # At the end of the list, so that a filter that somebody chose goes first.
        warnings.filterwarnings("ignore", message=r"Image size .* exceeds limit", append=True)
        warnings.filterwarnings("ignore", message="When training, we now always track", append=True)
        warnings.filterwarnings("ignore", module=r"pydicom\b|PIL\.TiffImagePlugin", append=True)
        yield


@contextmanager
def usable_home() -> Iterator[None]:
    """Where the home folder cannot be written, gives the process a temporary one.

    Paddle and Matplotlib keep files there, and the former cannot be imported without.
    """
    with ExitStack() as stack:
        if not _can_be_written(os.path.expanduser(os.path.join("~", CACHE))):
            try:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chexnet-home-"))
            except OSError:  # nothing can be written anywhere: whoever needs to will say so
                yield
                return
            variable = "USERPROFILE" if os.name == "nt" else "HOME"
            stack.callback(_set, variable, os.environ.get(variable))
            _set(variable, folder)
        yield


def _can_be_written(folder: str) -> bool:
    """Whether a folder is there or can be made, tried with a file that has no name."""
    if not os.path.isabs(folder):
        return False  # nobody knows where home is
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
def ended_by_signals() -> Iterator[list[signal.Signals]]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, so that temporary files are removed.

    A signal that is ignored, as `nohup` has it, stays so. Only the main thread may receive signals; a block in another
    thread does nothing.

    Yields:
        What came, at most one: those after it are let pass, for the cleaning to end.
    """
    came: list[signal.Signals] = []

    def end(number: int, frame: FrameType | None) -> None:
        if not came:
            came.append(signal.Signals(number))
            raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    mine = threading.current_thread() is threading.main_thread()
    taken = [number for number in numbers if mine and signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield came
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
