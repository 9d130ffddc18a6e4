"""Training through `paddle.Model.fit`."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle
from paddle.callbacks import LRScheduler
from paddle.optimizer import Adam
from paddle.optimizer.lr import MultiStepDecay

from chexnet import __version__, device
from chexnet.config import TrainConfig
from chexnet.data import BatchLoader, ChestXrayDataSet
from chexnet.errors import InputError
from chexnet.files import write_text
from chexnet.labels import CLASS_NAMES
from chexnet.lists import ImageList
from chexnet.model import CheXNet, check_crop, initialise
from chexnet.training.callbacks import LOG_FREQUENCY, Checkpoints, History, Report, Steps
from chexnet.training.history import Row
from chexnet.training.loss import BinaryCrossEntropy
from chexnet.training.metric import AUROC
from chexnet.transforms import Preprocessing

__all__ = ["AUROC", "TrainResult", "train"]


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        best_model: file of the weights with the highest validation AUROC_avg.
        best_epoch: its epoch, counted from 1.
        best_auroc: its AUROC_avg.
        history: one row an epoch.
    """

    best_model: Path
    best_epoch: int
    best_auroc: float
    history: Sequence[Row]


def train(config: TrainConfig, report: Report | None = None) -> TrainResult:
    """Trains a CheXNet and leaves everything worth keeping in `config.save_dir`.

    There: `best_model.pdparams` and `final.pdparams` (each with a JSON beside it), `epoch_NN.pdparams` and
    `.pdopt`, `config.json`, `history.csv` and `curves.png`.

    Args:
        config: the run.
        report: takes lines for a person; with it, `paddle.Model` prints its log too. Without it the run
            is silent.

    Raises:
        InputError: a list, an image, the first weights, the device or the folder cannot be used, or the
            loss is no longer finite.
    """
    preprocessing = Preprocessing(config.resize, config.crop)
    check_crop(config.crop)
    tell = report or (lambda line: None)
    device.select(config.device)
    if config.amp != "off" and not device.is_gpu():
        raise InputError(f"--amp {config.amp}: mixed precision needs a GPU, Paddle has none in use; use --amp off")
    cache = config.image_cache
    train_set = ChestXrayDataSet(
        config.data_dir, config.train_list, "train", preprocessing, config.seed, image_cache=cache
    )
    val_set = ChestXrayDataSet(config.data_dir, config.val_list, "center", preprocessing, image_cache=cache)
    undefined = _undefined_classes(val_set.list)
    save_dir = Path(config.save_dir)
    _check_unused(save_dir)

    precision = "float32" if config.amp == "off" else f"AMP {config.amp}"
    tell(f"=> Paddle {paddle.__version__}, {device.name()}, {precision}, seed {config.seed}")
    tell(f"=> {len(train_set)} images to train on, {len(val_set)} to validate on")
    if undefined:
        tell(
            f"=> {config.val_list}: no AUROC for {', '.join(undefined)}: one kind of label only; AUROC_avg is over "
            f"the other {len(CLASS_NAMES) - len(undefined)} classes"
        )
    _seed_everything(config.seed)
    # Optimizer state is keyed by parameter names, which the guard starts anew for this network.
    with paddle.utils.unique_name.guard():
        network = CheXNet()
        if config.init == "imagenet":
            tell("=> taking Paddle's ImageNet weights from its cache, or downloading them")
        tell(f"=> starting from {initialise(network, config.init)}")
        write_text(save_dir / "config.json", config.to_json())
        return _fit(config, network, train_set, val_set, save_dir, report)


def _fit(
    config: TrainConfig,
    network: CheXNet,
    train_set: ChestXrayDataSet,
    val_set: ChestXrayDataSet,
    save_dir: Path,
    report: Report | None,
) -> TrainResult:
    schedule = MultiStepDecay(config.learning_rate, list(config.decay_epochs), config.decay_factor)
    metric = AUROC()
    model = paddle.Model(network)
    model.prepare(
        Adam(schedule, parameters=network.parameters(), use_multi_tensor=True),
        BinaryCrossEntropy(),
        metric,
        amp_configs=None if config.amp == "off" else config.amp,
    )
    train_loader = BatchLoader(train_set, config.batch_size, shuffle=True, workers=config.num_workers, upload=True)
    val_loader = BatchLoader(val_set, config.batch_size, shuffle=False, workers=config.num_workers, upload=True)
    history = History(save_dir)
    checkpoints = Checkpoints(save_dir, _sidecar(config), report or (lambda line: None))
    model.fit(
        train_loader,
        val_loader,
        epochs=config.epoch,
        log_freq=LOG_FREQUENCY,
        verbose=2 if report else 0,
        callbacks=[
            Steps(train_loader, metric),
            checkpoints,  # before history: an epoch that stands in history.csv has its state on disk
            history,
            LRScheduler(by_step=False, by_epoch=True),
        ],
    )
    best_model = save_dir / "best_model.pdparams"
    return TrainResult(best_model, checkpoints.best_epoch, checkpoints.best_auroc, history.rows)


def _sidecar(config: TrainConfig) -> dict[str, object]:
    return {
        "backbone": "densenet121",
        "classes": list(CLASS_NAMES),
        "resize": config.resize,
        "crop": config.crop,
        "train_list": config.train_list,
        "chexnet": __version__,
        "paddle": paddle.__version__,
    }


def _undefined_classes(val_list: ImageList) -> list[str]:
    positives = val_list.labels.sum(axis=0)
    undefined = [name for name, count in zip(CLASS_NAMES, positives, strict=True) if count in (0, len(val_list))]
    if len(undefined) == len(CLASS_NAMES):
        raise InputError(f"{val_list.path}: no class has both positives and negatives, so no epoch can be the best")
    return undefined


def _check_unused(save_dir: Path) -> None:
    if (save_dir / "history.csv").exists():
        raise InputError(
            f"{save_dir}: holds a finished epoch of another run, which would be lost; choose another --save_dir"
        )


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    paddle.seed(seed)
