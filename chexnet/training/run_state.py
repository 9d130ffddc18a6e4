"""The state of a run: everything that a resumed run depends on, in one file that is written atomically."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chexnet._types import LogFn
from chexnet.errors import InputError
from chexnet.model import checkpoint
from chexnet.training.epoch_history import Row
from chexnet.training.state_checks import check_state

SUFFIX = ".state"

_NAME = re.compile(r"after_epoch_(\d+)(?:_step_(\d+))?\.state")

_KEYS = {"input_hashes": "identity", "metric_state": "seen"}
"""Field of a RunState -> its key in the file, where the two differ."""


@dataclass
class TrainProgress:
    """The progress of a run. Its callbacks share one object and update it.

    Shuffling, augmentation and random generators depend on (seed, epoch, step) only, so no other state of them is
    saved.

    Attributes:
        epoch: number of finished epochs, including their validation.
        step: number of finished training steps in the current epoch.
        seconds: time spent on the current epoch.
        loss_sum: sum of the losses of its samples so far.
        samples: number of those samples.
        row: its row of the history so far.
        rows: history of the finished epochs.
        best_epoch: best epoch, by validation AUROC_avg or loss, counted from 1; 0 for none.
        best_auroc: its AUROC_avg.
        best_weights: its weights.
        stopped_early: whether a callback has stopped the run, as early stopping does.
        skipped_steps: number of steps that the loss scaler of mixed precision skipped.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    samples: int = 0
    row: Row = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    best_epoch: int = 0
    best_auroc: float = -math.inf
    best_weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    stopped_early: bool = False
    skipped_steps: int = 0

    def __str__(self) -> str:
        if self.step:
            return f"epoch {self.epoch + 1}, step {self.step}"
        return f"the end of epoch {self.epoch}" if self.epoch else "the start"


@dataclass
class RunState:
    """The contents of a state file.

    Attributes:
        config: fields of the TrainConfig.
        input_hashes: what else determines the results of the run, see `chexnet.training.run_inputs.input_hashes`.
        skipped: images that are skipped, of the `train` and the `val` list.
        progress: progress of the run.
        weights: state dict of the network.
        optimizer: state dict of the optimizer, including the learning-rate schedule.
        scaler: state dict of the loss scaler; empty without mixed precision.
        metric_state: labels and probabilities of the training samples of the epoch so far, for its AUROC.
        trained_on: fingerprint of the training images, see `audit.fingerprint`; empty in states of earlier versions.
        average: moving average of the weights; empty without one.
    """

    config: Mapping[str, Any]
    input_hashes: Mapping[str, str]
    skipped: Mapping[str, list[dict[str, Any]]]
    progress: TrainProgress
    weights: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]
    metric_state: Mapping[str, np.ndarray]
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    average: Mapping[str, Any] = field(default_factory=dict)


def save(state: RunState, folder: Path, keep: int) -> Path:
    """Write `after_epoch_NN[_step_NNNNNN].state`, then remove all but the newest `keep` states of the folder.

    Raises:
        InputError: the file cannot be written; the earlier states are intact.
    """
    progress = state.progress
    step = f"_step_{progress.step:06d}" if progress.step else ""
    path = folder / f"after_epoch_{progress.epoch:02d}{step}{SUFFIX}"
    content = {_KEYS.get(name, name): value for name, value in vars(state).items()}
    checkpoint.save({**content, "progress": vars(progress)}, path)
    for old in paths(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def load(path: Path) -> RunState:
    """Read a state file.

    Raises:
        InputError: the file is missing, damaged or not a state, or a part of it is invalid.
    """
    content = checkpoint.load(path)
    fields = {key: name for name, key in _KEYS.items()}
    try:
        progress = TrainProgress(**content["progress"])
        state = RunState(**{**{fields.get(key, key): value for key, value in content.items()}, "progress": progress})
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not the state of a training run: {str(error)[:200]}") from error
    expected = {name: type(value) for name, value in vars(TrainProgress()).items()}
    expected |= {name: dict for name in vars(state) if name != "progress"}
    found = {name: type(value) for name, value in (vars(progress) | vars(state)).items() if name in expected}
    if wrong := [name for name in expected if found[name] is not expected[name]]:
        raise InputError(f"{path}: not the state of a training run: {', '.join(wrong)} of another type than expected")
    check_state(state, str(path))
    return state


def newest(folder: Path, log: LogFn) -> tuple[Path, RunState]:
    """Read the newest intact state of a folder.

    A damaged file is logged and renamed to `*.damaged`, so that it is not tried again.

    Raises:
        InputError: the folder has no intact state, or the newest cannot be used for another reason.
    """
    for path in reversed(paths(folder)):
        try:
            return path, load(path)
        except checkpoint.CorruptFileError as error:
            log(f"=> {error}; trying the state before it")
            path.rename(path.with_suffix(".damaged"))
    raise InputError(f"{folder}: has no intact state to resume from, expected a file *{SUFFIX}")


def paths(folder: Path) -> list[Path]:
    """Return the state files of a folder, the oldest first."""
    found = [(match, path) for path in folder.glob(f"*{SUFFIX}") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda item: (int(item[0][1]), int(item[0][2] or 0)))]


def check_free(folder: Path, origin: Path, source: Path) -> None:
    """Check that a run resumed from `origin`, in the folder `source`, can be written to `folder`. Raises InputError."""
    if folder.resolve() != source.resolve():
        check_unused(folder)
    elif origin.is_file():
        for latest in paths(source)[-1:]:
            if latest.name != origin.name:
                raise InputError(f"{origin}: {latest.name} is newer and would be in the way; choose another --save_dir")


def check_unused(folder: Path) -> None:
    """Check that a folder contains no run. Raises InputError."""
    if paths(folder) or (folder / "history.csv").exists():
        raise InputError(f"{folder}: contains another run; resume it with --resume, or choose another --save_dir")


def divergence_error(message: str, folder: Path) -> InputError:
    """Return an InputError for a run with numbers that are not finite. It names the last good state."""
    last = (paths(folder) or [folder])[-1]
    return InputError(
        f"{message}; the last good state is {last}; to train with other settings, start a new run: "
        f"--init with a lower --learning_rate and another --save_dir"
    )
