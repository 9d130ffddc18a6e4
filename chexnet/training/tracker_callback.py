"""The history of a run in an experiment tracker: VisualDL, TensorBoard or Weights & Biases."""

import importlib.util
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from paddle.callbacks import Callback

from chexnet.config import TrainConfig
from chexnet.data.loader import BatchLoader
from chexnet.errors import InputError
from chexnet.training.auroc_metric import AUROC
from chexnet.training.epoch_history import Row
from chexnet.training.progress_logger import Logs
from chexnet.training.run_state import TrainProgress

PACKAGES = {"visualdl": "visualdl", "tensorboard": "tensorboardX", "wandb": "wandb"}
"""Each of `chexnet.config.LOGGERS` but `none` -> the package that writes its files."""

Points = Mapping[str, list[float]]
"""Points of a ROC curve, see `roc_points`."""

ROC_POINTS = 101
SHEET_SIDE = 4
"""Crops per row and per column of a contact sheet."""


class Tracker(Protocol):
    """A writer of epochs."""

    def write(self, row: Row) -> None:
        """Write the quantities of a row of the history. NaN is left out."""

    def write_validation(self, row: Row, curves: Mapping[str, Points], loader: BatchLoader) -> None:
        """Write what else the tracker can show of an epoch: the ROC curve of each class, and training crops."""

    def close(self) -> None:
        """Write everything that is buffered."""


class VisualDL:
    """Scalars, ROC curves of the validation set and a contact sheet of training crops, in VisualDL's format.

    Paddle's own callback counts epochs from 0 in every process and writes the values of single batches.
    """

    def __init__(self, folder: Path) -> None:
        from visualdl import LogWriter

        self.writer = LogWriter(logdir=str(folder))

    def write(self, row: Row) -> None:
        """Write the quantities of a row of the history. NaN is left out."""
        for name, value in _defined(row).items():
            self.writer.add_scalar(tag=name, value=value, step=int(row["epoch"]))
        self.writer.flush()

    def write_validation(self, row: Row, curves: Mapping[str, Points], loader: BatchLoader) -> None:
        """Write the ROC curve of each class, and the first training crops of the epoch as they were augmented."""
        from visualdl.component.base_component import roc_curve_raw

        epoch = int(row["epoch"])
        for name, points in curves.items():
            # VisualDL's add_roc_curve fails with NumPy 2, and divides true positives by the number of negatives.
            record = roc_curve_raw(tag=f"ROC_{name}", step=epoch, walltime=round(time.time() * 1000), **points)
            self.writer._get_file_writer().add_record(record)
        if (sheet := contact_sheet(loader)) is not None:
            self.writer.add_image(tag="training_crops", img=sheet, step=epoch, dataformats="HW")
        self.writer.flush()

    def close(self) -> None:
        """Write everything that is buffered."""
        self.writer.close()


class TensorBoard:
    """Scalars in TensorBoard's format, written by tensorboardX, which needs no TensorFlow."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(str(folder))

    def write(self, row: Row) -> None:
        """Write the quantities of a row of the history. NaN is left out."""
        for name, value in _defined(row).items():
            self.writer.add_scalar(name, value, int(row["epoch"]))
        self.writer.flush()

    def write_validation(self, row: Row, curves: Mapping[str, Points], loader: BatchLoader) -> None:
        """Write nothing else."""

    def close(self) -> None:
        """Write everything that is buffered."""
        self.writer.close()


class WeightsAndBiases:
    """Scalars and the configuration in Weights & Biases, which sends them to its server unless WANDB_MODE=offline."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        self.run = wandb.init(project="paddle-chexnet", dir=str(folder), config=vars(config))

    def write(self, row: Row) -> None:
        """Write the quantities of a row of the history. NaN is left out."""
        self.run.log(_defined(row), step=int(row["epoch"]))

    def write_validation(self, row: Row, curves: Mapping[str, Points], loader: BatchLoader) -> None:
        """Write nothing else."""

    def close(self) -> None:
        """Write everything that is buffered."""
        self.run.finish()


class TrackerCallback(Callback):
    """Write each row of the history to the tracker of `config.logger`, into a folder of its name in `save_dir`."""

    def __init__(self, config: TrainConfig, progress: TrainProgress, metric: AUROC, loader: BatchLoader) -> None:
        super().__init__()
        self.config = config
        self.progress = progress
        self.metric = metric
        self.loader = loader

    def on_train_begin(self, logs: Logs = None) -> None:
        self.tracker = _open(self.config)

    def on_eval_begin(self, logs: Logs = None) -> None:
        self.eval_steps = (logs or {})["steps"]

    def on_eval_batch_end(self, step: int, logs: Logs = None) -> None:
        if step + 1 == self.eval_steps:  # afterwards `fit` resets the metric
            self.curves = _roc_curves(self.metric)

    def on_eval_end(self, logs: Logs = None) -> None:
        row = self.progress.rows[-1]
        self.tracker.write(row)
        self.tracker.write_validation(row, self.curves, self.loader)

    def on_train_end(self, logs: Logs = None) -> None:
        self.tracker.close()


def check_installed(logger: str) -> None:
    """Check that the package of a tracker is installed; `logger` is one of LOGGERS. Raises InputError."""
    package = PACKAGES.get(logger)
    if package and importlib.util.find_spec(package) is None:
        raise InputError(f"--logger {logger}: {package} is not installed: pip install {package}")


def roc_points(labels: np.ndarray, scores: np.ndarray) -> Points:
    """Return points of the ROC curve of one class, from the highest threshold to the lowest.

    Args:
        labels: 0 or 1 [N], both present.
        scores: [N].

    Returns:
        Counts `tp`, `fp`, `tn` and `fn`, and rates `tpr` and `fpr`, at most ROC_POINTS of each.
    """
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    true_positives = np.append(0, np.cumsum(labels[order] == 1)[last_of_ties])
    false_positives = np.append(0, last_of_ties + 1 - true_positives[1:])
    if len(true_positives) > ROC_POINTS:
        chosen = np.linspace(0, len(true_positives) - 1, ROC_POINTS).round().astype(int)
        true_positives, false_positives = true_positives[chosen], false_positives[chosen]
    positives, negatives = int(true_positives[-1]), int(false_positives[-1])
    return {
        "tp": true_positives.tolist(),
        "fp": false_positives.tolist(),
        "tn": (negatives - false_positives).tolist(),
        "fn": (positives - true_positives).tolist(),
        "tpr": (true_positives / positives).tolist(),
        "fpr": (false_positives / negatives).tolist(),
    }


def contact_sheet(loader: BatchLoader) -> np.ndarray | None:
    """Return the first crops of the loader's epoch, uint8 [SHEET_SIDE * crop, SHEET_SIDE * crop].

    Missing ones are black. None for a data set of normalized images.
    """
    count = SHEET_SIDE**2
    crops = [loader.dataset[index][0] for index in loader.order()[:count].tolist()]
    if crops[0].dtype != np.uint8:
        return None
    side = crops[0].shape[-1]
    cells = np.zeros((count, side, side), np.uint8)
    cells[: len(crops)] = np.concatenate(crops)
    rows = cells.reshape(SHEET_SIDE, SHEET_SIDE, side, side).transpose(0, 2, 1, 3)
    return rows.reshape(SHEET_SIDE * side, SHEET_SIDE * side)


def _open(config: TrainConfig) -> Tracker:
    folder = Path(config.save_dir) / config.logger
    if config.logger == "visualdl":
        return VisualDL(folder)
    return TensorBoard(folder) if config.logger == "tensorboard" else WeightsAndBiases(folder, config)


def _roc_curves(metric: AUROC) -> dict[str, Points]:
    """Return the curve of each class that has one."""
    labels, probabilities = metric.state_dict().values()
    columns = zip(metric.class_names, labels.T, probabilities.T, strict=True)
    return {
        name: roc_points(positive, scores) for name, positive, scores in columns if 0 < positive.sum() < len(positive)
    }


def _defined(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "epoch" and not math.isnan(value)}
