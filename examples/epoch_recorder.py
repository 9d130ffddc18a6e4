"""A callback of `paddle.Model` that records and saves every epoch."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from paddle.callbacks import Callback

from chexnet.errors import InputError
from chexnet.training.epoch_history import Row
from chexnet.training.seeding import seed_everything


class EpochRecorder(Callback):
    """Add a row per epoch to the history and save the run.

    Losses are means over all images of the epoch; Paddle reports that of the last batch. The number of rows counts the
    epochs, because Paddle starts at 0 in every process.

    Args:
        epochs: number of epochs of the run.
        seed: random seed of the run; dropout depends on it and on the epoch.
        rows: history of the finished epochs; the callback appends to it.
        save: function that saves the run.
        log: receives one line per epoch.
        progress: receives the number of finished steps and of all steps of the epoch.
    """

    def __init__(
        self,
        epochs: int,
        seed: int,
        rows: list[Row],
        save: Callable[[], None],
        log: Callable[[str], object],
        progress: Callable[[int, int], object],
    ) -> None:
        super().__init__()
        self.epochs = epochs
        self.seed = seed
        self.rows = rows
        self.save = save
        self.log = log
        self.progress = progress

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Seed dropout and record the learning rate, which changes before the tests of the epoch."""
        done = len(self.rows)
        seed_everything(int(np.random.SeedSequence((self.seed, done)).generate_state(1)[0]))
        self.row: Row = {"epoch": done + 1, "learning_rate": float(self.model._optimizer.get_lr())}
        self.loss = self.count = 0

    def on_train_batch_end(self, step: int, logs: Any = None) -> None:
        """Add the loss of a batch."""
        self._add(logs)
        self.progress(step + 1, self.params["steps"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record loss and accuracy of training."""
        self._record("train", logs)

    def on_eval_begin(self, logs: Any = None) -> None:
        """Start the mean of the test loss."""
        self.loss = self.count = 0

    def on_eval_batch_end(self, step: int, logs: Any = None) -> None:
        """Add the loss of a batch."""
        self._add(logs)

    def on_eval_end(self, logs: Any = None) -> None:
        """Complete the row, save the run and log the epoch."""
        self._record("test", logs)
        self.rows.append(self.row)
        self.save()
        row = self.row
        parts = [
            f"{part} loss {row[f'{part}_loss']:.4f} accuracy {row[f'{part}_accuracy']:.4f}"
            for part in ("train", "test")
        ]
        self.log(f"epoch {row['epoch']}/{self.epochs} learning rate {row['learning_rate']:g}: {', '.join(parts)}")

    def _add(self, logs: Mapping[str, Any]) -> None:
        loss = float(logs["loss"][0])
        if not math.isfinite(loss):
            raise InputError(f"epoch {self.row['epoch']}: the loss is {loss}, expected a number; lower --learning_rate")
        self.loss += loss * logs["batch_size"]
        self.count += logs["batch_size"]

    def _record(self, part: str, logs: Mapping[str, Any]) -> None:
        self.row[f"{part}_loss"] = self.loss / self.count
        self.row[f"{part}_accuracy"] = float(logs["acc"])
