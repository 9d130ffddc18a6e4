"""Keeping a run: its state, its best and last weights, the table and picture of its epochs."""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from paddle.callbacks import Callback

from chexnet import audit, checkpoint
from chexnet.config import TrainConfig
from chexnet.errors import InputError, Interrupted
from chexnet.training import state
from chexnet.training.callbacks import Logs
from chexnet.training.history import draw_curves, write_csv
from chexnet.training.inputs import Report
from chexnet.training.metric import AUROC
from chexnet.training.signals import StopRequest
from chexnet.training.state import Progress, State

PATIENCE = 10
"""Epochs without a better AUROC_avg after which a run stops."""


class Checkpoints(Callback):
    """Saves the state of the run when it is due, after every epoch and when asked to stop; ends epochs.

    The state comes first; what else stands in `save_dir` is written from it, and written again when a run goes
    on from it. So whenever the process ends, the folder is as of some moment, and nothing in it is half of two.

    Args:
        config: of the run.
        identity: goes into the state, see there.
        facts: for the JSON beside the weights; epoch and AUROC_avg are added. `skipped` and the
            fingerprint go into the state, too.
        progress: is moved to the next epoch here, once one is validated.
        metric: what it has seen goes into the state.
        restored: the optimizer's state where the run goes on. Until its first step Paddle 2.6 does not give it back.
        stop: looked at between two steps.
        report: is told of a better model and of stopping early.
    """

    def __init__(
        self,
        config: TrainConfig,
        identity: Mapping[str, str],
        facts: Mapping[str, Any],
        progress: Progress,
        metric: AUROC,
        restored: Mapping[str, Any],
        stop: StopRequest,
        report: Report,
    ) -> None:
        super().__init__()
        self.config = config
        self.identity = identity
        self.facts = facts
        self.progress = progress
        self.metric = metric
        self.restored = restored
        self.stop = stop
        self.report = report
        self.folder = Path(config.save_dir)
        self.best_written = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        if not state.paths(self.folder):
            self._save()
        self.saved = time.monotonic()
        self.write_outputs()

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        self.restored = {}
        every, minutes = self.config.save_every_steps, self.config.save_every_minutes
        by_steps = every and self.progress.step % every == 0
        by_time = minutes and time.monotonic() - self.saved >= 60 * minutes
        if by_steps or by_time or self.stop.signal:
            self._save()
        self._leave_if_asked()

    def on_eval_batch_end(self, step: int, logs: Logs = None) -> None:
        if self.stop.signal:
            self._save()
        self._leave_if_asked()

    def on_eval_end(self, logs: Logs = None) -> None:
        assert logs is not None
        self._end_epoch(logs["AUROC_avg"])
        self._save()
        self.write_outputs()
        if not self.finished:
            self._leave_if_asked()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.progress.stopped_early or self.progress.epoch >= self.config.epoch

    def write_outputs(self) -> None:
        """Writes `history.csv`, `curves.png` and `best_model`, and `final` at the end, from the state."""
        progress = self.progress
        if not progress.rows:
            return
        write_csv(progress.rows, self.folder / "history.csv")
        draw_curves(progress.rows, self.folder / "curves.png")
        if progress.best_epoch != self.best_written:
            self._write("best_model", progress.best_weights, progress.best_epoch, progress.best_auroc)
            self.best_written = progress.best_epoch
        if self.finished:
            last = self.model.network.state_dict()
            self._write("final", last, progress.epoch, progress.rows[-1]["val_AUROC_avg"])

    def _end_epoch(self, auroc: float) -> None:
        progress = self.progress
        progress.epoch, progress.step = progress.epoch + 1, 0
        self.model._optimizer._learning_rate.step()
        if auroc > progress.best_auroc:
            progress.best_auroc, progress.best_epoch = auroc, progress.epoch
            progress.best_weights = {k: v.numpy() for k, v in self.model.network.state_dict().items()}
            self.report(f"=> best model so far: epoch {progress.epoch}, AUROC_avg {auroc:.4f}")
        elif progress.epoch - progress.best_epoch >= PATIENCE:
            self.model.stop_training = progress.stopped_early = True
            self.report(f"=> stopping early: AUROC_avg has not risen for {PATIENCE} epochs")
        if self.model._scaler is not None:
            self.report(f"=> AMP left out {progress.skipped_steps} steps so far")

    def _save(self) -> None:
        weights = {name: tensor.numpy() for name, tensor in self.model.network.state_dict().items()}
        if broken := [name for name, value in weights.items() if not np.isfinite(value).all()]:
            raise state.diverged(
                f"{self.progress}: {len(broken)} weights are no longer finite numbers ({broken[0]}, ...)", self.folder
            )
        scaler = self.model._scaler
        within_training = 0 < self.progress.step < self.params["steps"]
        content = State(
            config=asdict(self.config),
            identity=self.identity,
            skipped=self.facts["skipped"],
            trained_on=self.facts[audit.KEY],
            progress=self.progress,
            weights=weights,
            optimizer={**self.restored, **self.model._optimizer.state_dict()},
            scaler={} if scaler is None else scaler.state_dict(),
            seen=dict(zip(("labels", "probabilities"), self.metric.seen(), strict=True)) if within_training else {},
        )
        try:
            state.save(content, self.folder, self.config.keep_states)
        except InputError as error:
            raise InputError(f"{error}; what was saved before is intact: make room, then --resume") from error
        self.saved = time.monotonic()

    def _leave_if_asked(self) -> None:
        if self.stop.signal:
            raise Interrupted(
                f"{self.stop.signal.name}: stopped with {self.progress}, all of it saved; "
                f"go on: python train.py --resume --save_dir {self.folder}",
                self.stop.signal,
            )

    def _write(self, name: str, weights: Mapping[str, Any], epoch: int, auroc: float) -> None:
        metadata = {**self.facts, "epoch": epoch, "val_AUROC_avg": None if math.isnan(auroc) else auroc}
        checkpoint.save_checkpoint(weights, self.folder / f"{name}.{self.config.format}", metadata)
