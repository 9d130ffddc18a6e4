"""Saving a run: its state, the best and the last weights, the history and its curves."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from paddle.callbacks import Callback

from chexnet import distributed
from chexnet.config import TrainConfig
from chexnet.data import audit
from chexnet.errors import InputError, Interrupted
from chexnet.model import CheXNet, checkpoint
from chexnet.training import run_state
from chexnet.training.agreement import Agreement
from chexnet.training.auroc_metric import AUROC
from chexnet.training.epoch_history import draw_curves, write_csv
from chexnet.training.progress_logger import Logs
from chexnet.training.run_state import RunState, TrainProgress


class CheckpointCallback(Callback):
    """Save the state of the run when it is due, after every epoch, and when the process is asked to stop.

    The state is written first. All other files in `save_dir` are written from it, and again when the run is resumed.
    They therefore agree with each other, even if the process ends while writing them.

    Args:
        config: configuration of the run.
        input_hashes: part of the state, see `RunState`.
        metadata: metadata of the weight files, to which epoch and AUROC_avg are added. Its `skipped` and the
            fingerprint of the training images are also part of the state.
        progress: progress of the run.
        metric: its samples are part of the state.
        restored: optimizer state that the run was resumed with. Paddle 2.6 does not return it before the first step.
        agreement: says between two steps whether to stop or to save.
        collect_losses: brings `progress` up to date before it is saved.
    """

    def __init__(
        self,
        config: TrainConfig,
        input_hashes: Mapping[str, str],
        metadata: Mapping[str, Any],
        progress: TrainProgress,
        metric: AUROC,
        restored: Mapping[str, Any],
        agreement: Agreement,
        collect_losses: Callable[[], None],
    ) -> None:
        super().__init__()
        self.config = config
        self.input_hashes = input_hashes
        self.metadata = metadata
        self.progress = progress
        self.metric = metric
        self.restored = restored
        self.agreement = agreement
        self.collect_losses = collect_losses
        self.folder = Path(config.save_dir)
        self.best_written = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        if distributed.from_first(lambda: not run_state.paths(self.folder)):
            self._save_state()
        self.agreement.saved()
        self.write_outputs()

    def on_train_batch_end(self, step: int, logs: Logs = None) -> None:
        self.restored = {}
        every = self.config.save_every_steps
        by_steps = every and self.progress.step % every == 0
        if by_steps or self.agreement.due or self.agreement.signal:
            self._save_state()
        self._stop_if_requested()

    def on_eval_begin(self, logs: Logs = None) -> None:
        self._average_statistics()

    def on_eval_batch_end(self, step: int, logs: Logs = None) -> None:
        if self.agreement.signal:
            self._save_state()
        self._stop_if_requested()

    def on_eval_end(self, logs: Logs = None) -> None:
        self.progress.stopped_early = bool(self.model.stop_training)  # any callback may have set it
        self._save_state()
        self.write_outputs()
        if not self.finished:
            self._stop_if_requested()

    @property
    def finished(self) -> bool:
        """True if nothing is left to train."""
        return self.progress.stopped_early or self.progress.epoch >= self.config.epoch

    def write_outputs(self) -> None:
        """Write `history.csv`, `curves.png`, `best_model` and, at the end, `final`, all from the state."""
        if self.progress.rows:
            distributed.on_first(self._write_outputs)

    def _write_outputs(self) -> None:
        progress = self.progress
        write_csv(progress.rows, self.folder / "history.csv")
        draw_curves(progress.rows, self.folder / "curves.png")
        if progress.best_epoch != self.best_written:
            self._write_weights("best_model", progress.best_weights, progress.best_epoch, progress.best_auroc)
            self.best_written = progress.best_epoch
        if self.finished:
            last = self.model.validated.state_dict()
            self._write_weights("final", last, progress.epoch, progress.rows[-1]["val_AUROC_avg"])

    def _write_weights(self, name: str, weights: Mapping[str, Any], epoch: int, auroc: float) -> None:
        metadata = {**self.metadata, "epoch": epoch, "val_AUROC_avg": None if math.isnan(auroc) else auroc}
        checkpoint.save_checkpoint(weights, self.folder / f"{name}.{self.config.format}", metadata)

    def _save_state(self) -> None:
        self.collect_losses()
        self._average_statistics()
        within_training = 0 < self.progress.step < self.params["steps"]
        metric_state = self.metric.state_dict() if within_training else {}
        distributed.on_first(lambda: self._write_state(metric_state))
        self.agreement.saved()

    def _write_state(self, metric_state: Mapping[str, np.ndarray]) -> None:
        weights = _arrays(self.model.network)
        if broken := [name for name, value in weights.items() if not np.isfinite(value).all()]:
            raise run_state.divergence_error(
                f"{self.progress}: {len(broken)} weights are no longer finite numbers ({broken[0]}, ...)", self.folder
            )
        state = RunState(
            config=asdict(self.config),
            input_hashes=self.input_hashes,
            skipped=self.metadata["skipped"],
            trained_on=self.metadata[audit.KEY],
            progress=self.progress,
            weights=weights,
            optimizer={**self.restored, **self.model.optimizer.state_dict()},
            scaler=self.model.scaler.state_dict(),
            metric_state=metric_state,
            average={} if self.config.ema is None else _arrays(self.model.validated),
        )
        try:
            run_state.save(state, self.folder, self.config.keep_states)
        except InputError as error:
            raise InputError(
                f"{error}; the states saved before are intact: free some space, then run train.py --resume"
            ) from error

    def _average_statistics(self) -> None:
        if not self.config.sync_bn:  # otherwise they are the same in all processes
            for network in dict.fromkeys((self.model.network, self.model.validated)):  # in the same order everywhere
                distributed.average_statistics(network)

    def _stop_if_requested(self) -> None:
        if number := self.agreement.signal:
            message = (
                f"{number.name}: stopped at {self.progress}, and saved; "
                f"to resume: python train.py --resume --save_dir {self.folder}"
            )
            distributed.leave(message)  # here, because a launcher sends its signal several times
            raise Interrupted(message, number)


def _arrays(network: CheXNet) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}
