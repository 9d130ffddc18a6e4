"""Stop on a signal between two steps instead of during one."""

import os
import signal
import socket
import sys
import threading
from types import FrameType

from chexnet._types import LogFn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class GracefulStop:
    """Note SIGINT and SIGTERM during a `with` block instead of letting them end the process.

    A Python signal handler would wait for the operator that Paddle is computing, which may take a minute. Instead, a
    thread receives the signal immediately, through the interpreter's wakeup file descriptor. The first signal is noted
    and logged; a SIGINT after it ends the process immediately with code 130.

    Python delivers signals to the main thread only; in other threads, the block has no effect.

    Attributes:
        signal: the first signal received, or None.
    """

    def __init__(self, log: LogFn) -> None:
        self.signal: signal.Signals | None = None
        self._log = log

    def __enter__(self) -> "GracefulStop":
        self._installed = threading.current_thread() is threading.main_thread()
        if self._installed:
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            self._handlers = {number: signal.signal(number, _ignore) for number in SIGNALS}
            if sys.platform != "win32":
                for number in SIGNALS:
                    signal.siginterrupt(number, False)  # otherwise what Paddle is reading from another process fails
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            for number, handler in self._handlers.items():
                if signal.getsignal(number) is _ignore:
                    # None stands for a handler installed by Paddle's compiled code, which Python cannot restore.
                    signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(self._wakeup)
            self._writer.close()

    def _watch(self) -> None:
        with self._reader:
            while numbers := self._reader.recv(64):
                for number in filter(SIGNALS.__contains__, numbers):
                    if self.signal is None:
                        self.signal = signal.Signals(number)
                        self._log(
                            f"=> {self.signal.name}: finishing this step, then saving; "
                            "press Ctrl-C to quit now and keep the last saved state"
                        )
                    elif number == signal.SIGINT:
                        os._exit(128 + signal.SIGINT)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing. With a handler, the interpreter writes the signal number to the wakeup file descriptor."""
