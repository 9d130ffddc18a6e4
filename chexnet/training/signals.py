"""Being asked to stop, between two steps instead of in the middle of one."""

import os
import signal
import socket
import threading
from types import FrameType

from chexnet.training.inputs import Report

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """During a `with` block, notes SIGINT and SIGTERM instead of letting them end the process.

    A Python handler would wait for the operator that Paddle computes, which may take a minute. Here a thread
    learns of a signal at once, through the interpreter's wakeup file descriptor: the first one is noted and
    reported; a SIGINT after it ends the process on the spot with code 130.

    Only the main thread may receive signals; a block in another thread does nothing.

    Attributes:
        signal: the first signal that came, or None.
    """

    def __init__(self, report: Report) -> None:
        self.signal: signal.Signals | None = None
        self._report = report

    def __enter__(self) -> "StopRequest":
        self._installed = threading.current_thread() is threading.main_thread()
        if self._installed:
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            self._handlers = {number: signal.signal(number, _nothing) for number in SIGNALS}
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            for number, handler in self._handlers.items():
                # None: Paddle's compiled part had installed its own, which Python cannot put back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(self._wakeup)
            self._writer.close()

    def _watch(self) -> None:
        with self._reader:
            while numbers := self._reader.recv(64):
                for number in filter(SIGNALS.__contains__, numbers):
                    if self.signal is None:
                        self.signal = signal.Signals(number)
                        self._report(
                            f"=> {self.signal.name}: finishing this step, then saving; "
                            "Ctrl-C leaves at once, with what was saved before"
                        )
                    elif number == signal.SIGINT:
                        os._exit(128 + signal.SIGINT)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Handles a signal so that the interpreter passes its number on."""
