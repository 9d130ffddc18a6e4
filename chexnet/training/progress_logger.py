"""The log lines of a run: those of Paddle, with the epoch and step of the run."""

import sys
from collections.abc import Mapping
from typing import Any

from paddle.callbacks import ProgBarLogger
from tqdm import tqdm

from chexnet.data.loader import PieceLoader
from chexnet.training.run_state import TrainProgress

Logs = Mapping[str, Any] | None
"""Values that `paddle.Model.fit` passes to callbacks: the loss, the metric's values by name, `batch_size`, `step`."""

LOG_FREQUENCY = 10
"""Steps between two log lines, as in the published log."""


def silent(line: str) -> None:
    """Ignore a line of text. Used when no LogFn is given."""


class ProgressLogger(ProgBarLogger):
    """Paddle's log lines, with the epoch and the step of the run instead of those since the process started.

    On a terminal, only the first and last line of an epoch show the AUROC of every class, because that takes six lines
    of the screen. The progress bar makes room for each line.

    This class is the only one in the package that uses private names of Paddle's high-level API. It overrides
    `_updates`, because overriding the public hooks would redraw the progress bar at every step. It sets `_start` of
    Paddle's progress bar, because a resumed epoch must include the time before the interruption.
    """

    def __init__(self, progress: TrainProgress, val_loader: PieceLoader, epochs: int, verbose: int) -> None:
        super().__init__(LOG_FREQUENCY, verbose)
        self.progress = progress
        self.val_loader = val_loader
        self.all_epochs = epochs

    def on_train_begin(self, logs: Logs = None) -> None:
        super().on_train_begin(logs)
        self.epochs = self.all_epochs

    def on_epoch_begin(self, epoch: int | None = None, logs: Logs = None) -> None:
        super().on_epoch_begin(self.progress.epoch)
        self.train_step = self.first_step = self.progress.step
        self.train_progbar._start -= self.progress.seconds

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.train_step > self.first_step:
            super().on_epoch_end(epoch, logs)

    def on_eval_batch_end(self, step: int, logs: Logs = None) -> None:
        # Paddle multiplies the images of this process by the number of processes.
        super().on_eval_batch_end(step, {**(logs or {}), "batch_size": self.val_loader.size(step)})

    def _updates(self, logs: Mapping[str, Any], mode: str) -> None:
        done, steps = (self.train_step, self.steps) if mode == "train" else (self.eval_step, self.eval_steps)
        if sys.stdout.isatty() and done < steps:
            logs = {name: value for name, value in logs.items() if name in ("loss", "AUROC_avg")}
        with tqdm.external_write_mode():
            super()._updates(logs, mode)
