"""The callbacks of a run except the one that saves it: count, record, choose the best epoch, stop, decay.

`chexnet.training.trainer` lists them in the order in which they are called.
"""

import math
import sys
import time
from pathlib import Path

import numpy as np
from paddle.callbacks import Callback, LRScheduler
from paddle.optimizer.lr import LRScheduler as Schedule
from tqdm import tqdm

from chexnet._types import LogFn
from chexnet.data.loader import PieceLoader
from chexnet.distributed import rank
from chexnet.training.auroc_metric import AUROC
from chexnet.training.progress_logger import LOG_FREQUENCY, Logs
from chexnet.training.run_state import TrainProgress, divergence_error
from chexnet.training.seeding import seed_everything


class StepCallback(Callback):
    """Count the steps, seed the random generators before each, and request the metric's value where it is used.

    The metric is computed in logged steps and in the last step of an epoch. A progress bar is shown on standard error
    if that is a terminal.
    """

    def __init__(self, progress: TrainProgress, loader: PieceLoader, metric: AUROC) -> None:
        super().__init__()
        self.progress = progress
        self.loader = loader
        self.metric = metric

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.loader.set_epoch(self.progress.epoch, self.progress.step)
        self._begin(self.params["steps"], f"epoch {self.progress.epoch + 1}", self.progress.step)

    def on_train_batch_begin(self, step: int, logs: Logs = None) -> None:
        position = (self.loader.dataset.seed, self.progress.epoch, self.progress.step, rank())  # without a 0 the same
        seed_everything(int(np.random.SeedSequence(position).generate_state(1)[0]))
        self._request_metric(self.progress.step + 1)

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        self.progress.step += 1
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.bar.close()

    def on_eval_begin(self, logs: Logs = None) -> None:
        self._begin((logs or {})["steps"], "validation", 0)

    def on_eval_batch_begin(self, step: int, logs: Logs = None) -> None:
        self._request_metric(step + 1)

    def on_eval_batch_end(self, step: int, logs: Logs = None) -> None:
        self.bar.update()

    def on_eval_end(self, logs: Logs = None) -> None:
        self.bar.close()

    def _begin(self, steps: int, title: str, done: int) -> None:
        self.steps = steps
        self.bar = tqdm(total=steps, initial=done, desc=title, unit="step", leave=False, disable=None, file=sys.stderr)

    def _request_metric(self, done: int) -> None:
        self.metric.compute_now = done % LOG_FREQUENCY == 0 or done == self.steps


class AmpSkipCounter(Callback):
    """Count the steps that the loss scaler of mixed precision skips because their gradients are not finite."""

    def __init__(self, progress: TrainProgress, log: LogFn) -> None:
        super().__init__()
        self.progress = progress
        self.log = log

    def on_train_begin(self, logs: Logs = None) -> None:
        self.before = self.model.scaler.state_dict()

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        before, after = self.before, self.model.scaler.state_dict()
        self.before = after
        # A skipped step lowers the scale, or is counted towards lowering it.
        self.progress.skipped_steps += bool(
            after["scale"] < before["scale"] or after["decr_count"] > before["decr_count"]
        )

    def on_eval_end(self, logs: Logs = None) -> None:
        self.log(f"=> AMP has skipped {self.progress.skipped_steps} steps so far")


class HistoryCallback(Callback):
    """Collect the row of each epoch and, when it has been validated, move the progress to the next epoch.

    Losses are means over the samples of the epoch (`paddle.Model` itself shows that of the last batch). On a GPU they
    are copied and checked in logged steps and before the run is saved, so that other steps do not wait for the GPU.

    Raises (during training):
        InputError: the loss is not finite.
    """

    def __init__(
        self, progress: TrainProgress, folder: Path, metric: AUROC, train_loader: PieceLoader, val_loader: PieceLoader
    ) -> None:
        super().__init__()
        self.progress = progress
        self.folder = folder
        self.metric = metric
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.uncollected: list[int] = []

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        progress = self.progress
        if progress.step == 0:
            progress.row = {"epoch": progress.epoch + 1, "learning_rate": float(self.model.optimizer.get_lr())}
            progress.loss_sum, progress.samples, progress.seconds = 0.0, 0, 0.0
        self.started = time.monotonic() - progress.seconds
        self.phase, self.loader = "", self.train_loader

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        self._add(self.progress.step)
        if self.progress.step == self.params["steps"]:
            self._record("train", logs)

    def on_eval_begin(self, logs: Logs = None) -> None:
        self.progress.loss_sum, self.progress.samples = 0.0, 0
        self.phase, self.loader = "validation ", self.val_loader

    def on_eval_batch_end(self, step: int, logs: Logs = None) -> None:
        self._add(step + 1)

    def on_eval_end(self, logs: Logs = None) -> None:
        self._record("val", logs)
        progress = self.progress
        if self.model.scaler.is_enable():
            progress.row["skipped_steps"] = progress.skipped_steps
        progress.rows.append({**progress.row, "seconds": round(progress.seconds, 1)})
        progress.epoch, progress.step = progress.epoch + 1, 0

    def collect_losses(self) -> None:
        """Add the losses of all steps since the last call. Raises InputError if one of them is not finite."""
        steps, self.uncollected = self.uncollected, []
        for step, loss in zip(steps, self.model.take_losses(), strict=True):
            if not math.isfinite(loss):
                row = self.progress.row
                raise divergence_error(
                    f"epoch {row['epoch']:.0f}, {self.phase}step {step}: the loss is {loss} at learning rate "
                    f"{row['learning_rate']:g}, expected a finite number; images of the batch: "
                    f"{', '.join(self.loader.names(step - 1))}",
                    self.folder,
                )
            samples = self.loader.size(step - 1)
            self.progress.loss_sum += loss * samples
            self.progress.samples += samples

    def _record(self, split: str, logs: Logs) -> None:
        assert logs is not None
        row = self.progress.row
        row[f"{split}_loss"] = self.progress.loss_sum / self.progress.samples
        # By name: `logs` is one dictionary for all models of a process, and may hold the classes of another run.
        row.update({f"{split}_{name}": logs[name] for name in self.metric.name()})

    def _add(self, step: int) -> None:
        self.uncollected.append(step)
        if self.model.fetches_losses:
            self.collect_losses()
        self.progress.seconds = time.monotonic() - self.started


class BestModel(Callback):
    """Remember the weights of the best epoch: highest validation AUROC_avg, or lowest validation loss."""

    def __init__(self, progress: TrainProgress, select: str, log: LogFn) -> None:
        super().__init__()
        self.progress = progress
        self.select = select
        self.log = log

    def on_eval_end(self, logs: Logs = None) -> None:
        assert logs is not None
        progress, auroc = self.progress, logs["AUROC_avg"]
        loss = progress.rows[-1]["val_loss"]
        if self._is_better(loss, auroc):
            progress.best_auroc, progress.best_epoch = auroc, progress.epoch
            progress.best_weights = {name: value.numpy() for name, value in self.model.validated.state_dict().items()}
            by_loss = f", loss {loss:.4f}" if self.select == "loss" else ""
            self.log(f"=> best model so far: epoch {progress.epoch}, AUROC_avg {auroc:.4f}{by_loss}")

    def _is_better(self, loss: float, auroc: float) -> bool:
        if self.select == "auroc":
            return auroc > self.progress.best_auroc
        best = self.progress.best_epoch
        return best == 0 or loss < self.progress.rows[best - 1]["val_loss"]


class EarlyStopping(Callback):
    """Stop when there has been no better epoch for a number of epochs, `patience`."""

    def __init__(self, progress: TrainProgress, patience: int, log: LogFn) -> None:
        super().__init__()
        self.progress = progress
        self.patience = patience
        self.log = log

    def on_eval_end(self, logs: Logs = None) -> None:
        best = self.progress.best_epoch
        if self.progress.epoch - best >= self.patience:
            self.model.stop_training = True
            self.log(f"=> early stopping: no better epoch than epoch {best} for {self.patience} epochs")


class LearningRateStep(LRScheduler):
    """Step the learning-rate schedule after the validation of each epoch.

    A state that is saved during validation thus contains the learning rate of its own epoch. Because this class derives
    from Paddle's callback, `fit` does not add its own, which would step after every batch.

    Args:
        schedule: the schedule.
        by_loss: whether the schedule takes the validation loss.
        progress: progress of the run.
    """

    def __init__(self, schedule: Schedule, by_loss: bool, progress: TrainProgress) -> None:
        super().__init__(by_step=False, by_epoch=False)
        self.schedule = schedule
        self.by_loss = by_loss
        self.progress = progress

    def on_eval_end(self, logs: Logs = None) -> None:
        self.schedule.step(*([self.progress.rows[-1]["val_loss"]] if self.by_loss else []))
