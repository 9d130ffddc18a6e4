"""The state of a run: everything that the rest of it depends on, in one file that is written whole."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chexnet import checkpoint
from chexnet.errors import InputError
from chexnet.training.history import Row
from chexnet.training.state_checks import check_state

SUFFIX = ".state"

_NAME = re.compile(r"after_epoch_(\d+)(?:_step_(\d+))?\.state")


@dataclass
class Progress:
    """How far a run is. Its callbacks share one of these and move it on.

    Order, augmentation and random generators are functions of (seed, epoch, step), so that these need no more
    than their numbers here.

    Attributes:
        epoch: finished epochs, each trained and validated.
        step: finished training steps of the epoch after them.
        seconds: spent on that epoch.
        loss_sum: of its samples so far.
        samples: how many those are.
        row: what its line of the history holds so far.
        rows: the history of the finished epochs.
        best_epoch: the one with the highest validation AUROC_avg, counted from 1; 0 for none.
        best_auroc: its AUROC_avg.
        best_weights: its weights.
        stopped_early: whether AUROC_avg has not risen for so long that the run is over.
        skipped_steps: steps that the loss scaler of mixed precision left out.
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
        return f"epoch {self.epoch + 1}, {self.step} steps done" if self.step else f"{self.epoch} epochs done"


@dataclass
class State:
    """What a state file holds.

    Attributes:
        config: the fields of the TrainConfig.
        identity: what else decides what the run computes: sha256 of its list files, Paddle's version.
        skipped: the images that were left out of the `train` and the `val` list.
        progress: see Progress.
        weights: state dict of the network.
        optimizer: that of the optimizer, learning-rate schedule included.
        scaler: that of the loss scaler of mixed precision, empty without.
        seen: labels and probabilities of the training samples of the epoch so far, for its AUROC.
        trained_on: see `audit.fingerprint`; empty in a state of an earlier version.
    """

    config: Mapping[str, Any]
    identity: Mapping[str, str]
    skipped: Mapping[str, list[dict[str, Any]]]
    progress: Progress
    weights: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]
    seen: Mapping[str, np.ndarray]
    trained_on: Mapping[str, Any] = field(default_factory=dict)


def save(state: State, folder: Path, keep: int) -> Path:
    """Writes `after_epoch_NN[_step_NNNNNN].state` and then removes all but the newest `keep` of the folder.

    Raises:
        InputError: it cannot be written; the states before it are still there.
    """
    progress = state.progress
    step = f"_step_{progress.step:06d}" if progress.step else ""
    path = folder / f"after_epoch_{progress.epoch:02d}{step}{SUFFIX}"
    checkpoint.save({**vars(state), "progress": vars(progress)}, path)
    for old in paths(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def load(path: Path) -> State:
    """Reads a state file.

    Raises:
        InputError: it is missing, damaged, or something else; or a part of it is not what a run saves there.
    """
    content = checkpoint.load(path)
    try:
        state = State(**{**content, "progress": Progress(**content["progress"])})
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not the state of a training run: {str(error)[:200]}") from error
    expected = {name: type(value) for name, value in vars(Progress()).items()}
    expected |= {name: dict for name in vars(state) if name != "progress"}
    found = {name: type(value) for name, value in (vars(state.progress) | vars(state)).items() if name in expected}
    if wrong := [name for name in expected if found[name] is not expected[name]]:
        raise InputError(f"{path}: not the state of a training run: {', '.join(wrong)} of another type than expected")
    check_state(state, str(path))
    return state


def newest(folder: Path, report: Callable[[str], None]) -> tuple[Path, State]:
    """Reads the newest state of a folder that is whole.

    One that is damaged is reported and renamed to `*.damaged`, so that it is never taken for the newest again.

    Raises:
        InputError: there is none, every one is damaged, or the newest cannot be used for another reason.
    """
    for path in reversed(paths(folder)):
        try:
            return path, load(path)
        except checkpoint.Damaged as error:
            report(f"=> {error}; trying the state before it")
            path.rename(path.with_suffix(".damaged"))
    raise InputError(f"{folder}: holds no whole state, expected a file *{SUFFIX} to go on from")


def paths(folder: Path) -> list[Path]:
    """The state files of a folder, the oldest first."""
    found = [(match, path) for path in folder.glob(f"*{SUFFIX}") if (match := _NAME.fullmatch(path.name))]
    return [path for match, path in sorted(found, key=lambda one: (int(one[0][1]), int(one[0][2] or 0)))]


def diverged(what: str, folder: Path) -> InputError:
    """The error of a run whose numbers are not finite any more, which says what is still good."""
    return InputError(
        f"{what}; the last good state is {paths(folder)[-1]}; to train on with other settings, start a new run: "
        f"--init with a lower --learning_rate and another --save_dir"
    )
