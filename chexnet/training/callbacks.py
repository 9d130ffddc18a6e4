"""What a training run does beside computing: show, record, save, stop."""

import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from paddle.callbacks import Callback
from tqdm import tqdm

from chexnet import checkpoint
from chexnet.data import BatchLoader
from chexnet.errors import InputError
from chexnet.training.history import Row, draw_curves, write_csv
from chexnet.training.metric import AUROC

LOG_FREQUENCY = 10
"""Steps between two log lines, as in the published log."""

PATIENCE = 10
"""Epochs without a better AUROC_avg after which a run stops."""

Logs = Mapping[str, Any] | None
Report = Callable[[str], None]


class Steps(Callback):
    """Tells the loader its epoch, the metric when its value is wanted, and a person how far it is.

    The metric is wanted on the steps that are logged and on the last one of a pass. The bar goes to
    standard error, and only where that is a terminal.
    """

    def __init__(self, loader: BatchLoader, metric: AUROC) -> None:
        super().__init__()
        self.loader = loader
        self.metric = metric

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.loader.set_epoch(epoch)
        self._begin(self.params["steps"], f"epoch {epoch + 1}")

    def on_eval_begin(self, logs: Logs = None) -> None:
        self._begin((logs or {})["steps"], "validation")

    def on_train_batch_begin(self, step: int, logs: Logs = None) -> None:
        done = step + 1
        self.metric.due = done % LOG_FREQUENCY == 0 or done == self.steps

    on_eval_batch_begin = on_train_batch_begin

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        self.bar.update()

    on_eval_batch_end = on_train_batch_end

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.bar.close()

    def on_eval_end(self, logs: Logs = None) -> None:
        self.bar.close()

    def _begin(self, steps: int, title: str) -> None:
        self.steps = steps
        self.bar = tqdm(total=steps, desc=title, unit="step", leave=False, disable=None, file=sys.stderr)


class History(Callback):
    """Collects a row for each epoch; after each it writes `history.csv` and `curves.png`.

    Losses are means over the samples of the epoch (`paddle.Model` itself shows the last batch's).

    Raises (during training):
        InputError: the loss is not finite.
    """

    def __init__(self, save_dir: Path) -> None:
        super().__init__()
        self.save_dir = save_dir
        self.rows: list[Row] = []

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.started = time.monotonic()
        self.row: Row = {"epoch": epoch + 1, "learning_rate": float(self.model._optimizer.get_lr())}
        self._reset()

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        self._add(logs, f"step {step + 1}")

    def on_eval_batch_end(self, step: int, logs: Logs = None) -> None:
        self._add(logs, f"validation step {step + 1}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._record("train", logs)
        self._reset()

    def on_eval_end(self, logs: Logs = None) -> None:
        self._record("val", logs)
        self.row["seconds"] = round(time.monotonic() - self.started, 1)
        self.rows.append(self.row)
        write_csv(self.rows, self.save_dir / "history.csv")
        draw_curves(self.rows, self.save_dir / "curves.png")

    def _record(self, part: str, logs: Logs) -> None:
        assert logs is not None
        self.row[f"{part}_loss"] = self.loss_sum / self.samples
        self.row.update({f"{part}_{name}": value for name, value in logs.items() if name.startswith("AUROC_")})

    def _add(self, logs: Logs, where: str) -> None:
        assert logs is not None
        loss = logs["loss"][0]
        if not math.isfinite(loss):
            epoch, rate = int(self.row["epoch"]), self.row["learning_rate"]
            raise InputError(
                f"epoch {epoch}, {where}: the loss is {loss} at learning rate {rate:g}, expected a finite number; "
                f"the {epoch - 1} finished epochs are in {self.save_dir}; try a lower --learning_rate"
            )
        self.loss_sum += loss * logs["batch_size"]
        self.samples += logs["batch_size"]

    def _reset(self) -> None:
        self.loss_sum = 0.0
        self.samples = 0


class Checkpoints(Callback):
    """Saves every epoch's state, the best model by validation AUROC_avg and the last one; stops early.

    In `save_dir`: `epoch_NN.pdparams` and `.pdopt` (weights; optimizer and schedule), `best_model.pdparams`,
    `final.pdparams`, and a JSON beside the latter two that says how to use them.

    Args:
        save_dir: where to.
        sidecar: facts for the JSON; epoch and AUROC_avg are added.
        report: is told of a better model and of stopping early.
    """

    def __init__(self, save_dir: Path, sidecar: Mapping[str, Any], report: Report) -> None:
        super().__init__()
        self.save_dir = save_dir
        self.sidecar = sidecar
        self.report = report
        self.best_auroc = -math.inf
        self.best_epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch + 1

    def on_eval_end(self, logs: Logs = None) -> None:
        assert logs is not None
        weights = self.model.network.state_dict()
        if broken := [name for name, tensor in weights.items() if not np.isfinite(tensor.numpy()).all()]:
            raise InputError(
                f"epoch {self.epoch}: {len(broken)} weights are no longer finite numbers ({broken[0]}, ...); "
                f"the epochs before are in {self.save_dir}; try a lower --learning_rate"
            )
        state = self.save_dir / f"epoch_{self.epoch:02d}"
        checkpoint.save(weights, state.with_suffix(".pdparams"))
        checkpoint.save(self.model._optimizer.state_dict(), state.with_suffix(".pdopt"))
        self.auroc = logs["AUROC_avg"]
        if self.auroc > self.best_auroc:
            self.best_auroc, self.best_epoch = self.auroc, self.epoch
            self._save("best_model")
            self.report(f"=> best model so far: epoch {self.epoch}, AUROC_avg {self.auroc:.4f}")
        elif self.epoch - self.best_epoch >= PATIENCE:
            self.model.stop_training = True
            self.report(f"=> stopping early: AUROC_avg has not risen for {PATIENCE} epochs")

    def on_train_end(self, logs: Logs = None) -> None:
        self._save("final")

    def _save(self, name: str) -> None:
        path = self.save_dir / f"{name}.pdparams"
        checkpoint.write_sidecar(path, {**self.sidecar, "epoch": self.epoch, "val_AUROC_avg": self.auroc})
        checkpoint.save(self.model.network.state_dict(), path)
