"""What the processes of a run agree on between two steps: losses, the signal to stop, and that it is time to save."""

import signal
import time

import numpy as np

from chexnet import distributed
from chexnet.device import launched
from chexnet.training.graceful_stop import GracefulStop


class Agreement:
    """Losses, stop requests and the clock of the processes of a run, so that all save and stop after the same step.

    All of them are exchanged in one collective call. In one process, nothing is.

    Args:
        stop: signal that this process received.
        minutes: minutes between two saved states; 0 for no such limit.
    """

    def __init__(self, stop: GracefulStop, minutes: float) -> None:
        self._stop = stop
        self._minutes = minutes
        self._signal: signal.Signals | None = None
        self._due = False
        self.saved()

    @property
    def signal(self) -> signal.Signals | None:
        """The signal to stop, or None."""
        return self._stop.signal if launched() == 1 else self._signal

    @property
    def due(self) -> bool:
        """Whether the last saved state is older than it should be, by the clock of the first process."""
        return self._is_old() if launched() == 1 else self._due

    def saved(self) -> None:
        """Note that a state has just been saved."""
        self._saved, self._due = time.monotonic(), False

    def exchange(self, losses: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Return the mean losses of batches of which each process has a piece.

        Args:
            losses: mean loss of the own piece of each batch, float64 [batches]; anything finite for an empty piece.
            images: number of images in the own pieces, [batches].
        """
        own = np.concatenate([[float(self._stop.signal or 0), float(self._is_old())], losses * images, images])
        rows = distributed.gathered(own)
        number = int(rows[:, 0].max())
        self._signal = signal.Signals(number) if number else None
        self._due = bool(rows[0, 1])
        sums, counts = np.split(rows[:, 2:].sum(axis=0), 2)
        return np.asarray(sums / counts)

    def _is_old(self) -> bool:
        return self._minutes > 0 and time.monotonic() - self._saved >= 60 * self._minutes
