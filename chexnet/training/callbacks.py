"""What a training run does beside computing: show, count, record."""

import math
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle.callbacks import Callback, ProgBarLogger
from tqdm import tqdm

from chexnet.data import BatchLoader
from chexnet.training.metric import AUROC
from chexnet.training.state import Progress, diverged

LOG_FREQUENCY = 10
"""Steps between two log lines, as in the published log."""

Logs = Mapping[str, Any] | None


class Log(ProgBarLogger):
    """Paddle's own log lines, counting from where the run is rather than from where the process began.

    On a terminal, the lines between the first and the last step of an epoch leave out the AUROCs of the classes, which
    take six lines there, and the progress bar makes room for each line.
    """

    def __init__(self, progress: Progress, epochs: int, verbose: int) -> None:
        super().__init__(LOG_FREQUENCY, verbose)
        self.progress = progress
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

    def _updates(self, logs: Mapping[str, Any], mode: str) -> None:
        done, steps = (self.train_step, self.steps) if mode == "train" else (self.eval_step, self.eval_steps)
        if sys.stdout.isatty() and done < steps:
            logs = {name: value for name, value in logs.items() if name in ("loss", "AUROC_avg")}
        with tqdm.external_write_mode():
            super()._updates(logs, mode)


class Steps(Callback):
    """Counts the steps; before each it seeds the random generators, and tells the metric if its value is wanted.

    The metric is wanted on the steps that are logged and on the last one of a pass. A bar goes to standard
    error, and only where that is a terminal.
    """

    def __init__(self, progress: Progress, loader: BatchLoader, metric: AUROC) -> None:
        super().__init__()
        self.progress = progress
        self.loader = loader
        self.metric = metric

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.loader.set_epoch(self.progress.epoch, self.progress.step)
        self._begin(self.params["steps"], f"epoch {self.progress.epoch + 1}", self.progress.step)

    def on_train_batch_begin(self, step: int, logs: Logs = None) -> None:
        position = (self.loader.dataset.seed, self.progress.epoch, self.progress.step)
        seed_everything(int(np.random.SeedSequence(position).generate_state(1)[0]))
        self._due(self.progress.step + 1)

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        self.progress.step += 1
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.bar.close()

    def on_eval_begin(self, logs: Logs = None) -> None:
        self._begin((logs or {})["steps"], "validation", 0)

    def on_eval_batch_begin(self, step: int, logs: Logs = None) -> None:
        self._due(step + 1)

    def on_eval_batch_end(self, step: int, logs: Logs = None) -> None:
        self.bar.update()

    def on_eval_end(self, logs: Logs = None) -> None:
        self.bar.close()

    def _begin(self, steps: int, title: str, done: int) -> None:
        self.steps = steps
        self.bar = tqdm(total=steps, initial=done, desc=title, unit="step", leave=False, disable=None, file=sys.stderr)

    def _due(self, done: int) -> None:
        self.metric.due = done % LOG_FREQUENCY == 0 or done == self.steps


class History(Callback):
    """Puts together the row of each epoch.

    Losses are means over the samples of the epoch (`paddle.Model` itself shows the last batch's).

    Raises (during training):
        InputError: the loss is not finite.
    """

    def __init__(
        self, progress: Progress, folder: Path, metric: AUROC, train_loader: BatchLoader, val_loader: BatchLoader
    ) -> None:
        super().__init__()
        self.progress = progress
        self.folder = folder
        self.metric = metric
        self.train_loader = train_loader
        self.val_loader = val_loader

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        progress = self.progress
        if progress.step == 0:
            progress.row = {"epoch": progress.epoch + 1, "learning_rate": float(self.model._optimizer.get_lr())}
            progress.loss_sum, progress.samples, progress.seconds = 0.0, 0, 0.0
        self.started = time.monotonic() - progress.seconds

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        self._add(logs, "", self.progress.step, self.train_loader)
        if self.progress.step == self.params["steps"]:
            self._record("train", logs)

    def on_eval_begin(self, logs: Logs = None) -> None:
        self.progress.loss_sum, self.progress.samples = 0.0, 0

    def on_eval_batch_end(self, step: int, logs: Logs = None) -> None:
        self._add(logs, "validation ", step + 1, self.val_loader)

    def on_eval_end(self, logs: Logs = None) -> None:
        self._record("val", logs)
        if self.model._scaler is not None:
            self.progress.row["skipped_steps"] = self.progress.skipped_steps
        self.progress.rows.append({**self.progress.row, "seconds": round(self.progress.seconds, 1)})

    def _record(self, part: str, logs: Logs) -> None:
        assert logs is not None
        row = self.progress.row
        row[f"{part}_loss"] = self.progress.loss_sum / self.progress.samples
        # By name: `logs` is one dictionary for all models of a process, and may have another run's classes.
        row.update({f"{part}_{name}": logs[name] for name in self.metric.name()})

    def _add(self, logs: Logs, part: str, step: int, loader: BatchLoader) -> None:
        assert logs is not None
        loss = logs["loss"][0]
        if not math.isfinite(loss):
            row = self.progress.row
            raise diverged(
                f"epoch {row['epoch']:.0f}, {part}step {step}: the loss is {loss} at learning rate "
                f"{row['learning_rate']:g}, expected a finite number; images of the batch: "
                f"{', '.join(loader.names(step - 1))}",
                self.folder,
            )
        self.progress.loss_sum += loss * logs["batch_size"]
        self.progress.samples += logs["batch_size"]
        self.progress.seconds = time.monotonic() - self.started


class SkippedSteps(Callback):
    """Counts the steps that the loss scaler of mixed precision leaves out, their gradients not being finite."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def on_train_batch_begin(self, step: int, logs: Logs = None) -> None:
        self.before = self.model._scaler.state_dict()

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        before, after = self.before, self.model._scaler.state_dict()
        # A step left out lowers the scale, or is counted towards lowering it.
        self.progress.skipped_steps += bool(
            after["scale"] < before["scale"] or after["decr_count"] > before["decr_count"]
        )


def seed_everything(seed: int) -> None:
    """Seeds the generators of Python, NumPy and Paddle with a number below 2**32."""
    random.seed(seed)
    np.random.seed(seed)
    paddle.seed(seed)
