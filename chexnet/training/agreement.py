"""Agreement of the processes of a run between two steps: losses, the signal to stop, and the time to save."""

import signal
import time
from collections.abc import Sequence

import numpy as np

from chexnet import distributed
from chexnet.data.loader import PieceLoader
from chexnet.device import launched
from chexnet.errors import InputError
from chexnet.training.graceful_stop import GracefulStop


class Agreement:
    """Losses, stop requests and the clock of the processes of a run, so that all save and stop after the same step.

    All of them are exchanged in one collective call. In one process, nothing is.

    Args:
        stop: signal that this process received.
        minutes: minutes between two saved states; 0 for no such limit.
        loaders: loaders of the run, which may fail in one process.
    """

    def __init__(self, stop: GracefulStop, minutes: float, loaders: Sequence[PieceLoader]) -> None:
        self._stop = stop
        self._minutes = minutes
        self._loaders = loaders
        self._signal: signal.Signals | None = None
        self._due = False
        self.saved()

    @property
    def signal(self) -> signal.Signals | None:
        """The signal to stop, or None."""
        return self._stop.signal if launched() == 1 else self._signal

    @property
    def due(self) -> bool:
        """True if the last saved state is older than it should be, by the clock of the first process."""
        return self._is_old() if launched() == 1 else self._due

    def saved(self) -> None:
        """Note that a state has just been saved."""
        self._saved, self._due = time.monotonic(), False

    def exchange(self, losses: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Return the mean losses of batches of which each process has a piece.

        Args:
            losses: mean loss of the own piece of each batch, float64 [batches]; anything finite for an empty piece.
            images: number of images in the own pieces, [batches].

        Raises:
            InputError: an image could not be read, in any of the processes.
        """
        failures = [loader.failure for loader in self._loaders if loader.failure is not None]
        flags = [len(failures), self._stop.signal or 0, self._is_old()]
        rows = distributed.gathered(np.concatenate([np.array(flags, float), losses * images, images]))
        if rows[:, 0].any():
            messages = distributed.gathered_lists([str(failure) for failure in failures])
            raise failures[0] if failures else InputError(messages[0])
        number = int(rows[:, 1].max())
        self._signal = signal.Signals(number) if number else None
        self._due = bool(rows[0, 2])
        sums, counts = np.split(rows[:, 3:].sum(axis=0), 2)
        return np.asarray(sums / counts)

    def _is_old(self) -> bool:
        return self._minutes > 0 and time.monotonic() - self._saved >= 60 * self._minutes
