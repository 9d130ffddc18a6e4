"""Runs: begun, gone on with, and what they come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle
from paddle.callbacks import LRScheduler
from paddle.optimizer import Adam, Momentum
from paddle.optimizer.lr import MultiStepDecay

from chexnet import audit, checkpoint
from chexnet.config import TrainConfig
from chexnet.data import BatchLoader, Skipped
from chexnet.errors import InputError
from chexnet.files import check_apart, locked, remove_leftovers, write_text
from chexnet.model import CheXNet, initialise
from chexnet.training import state
from chexnet.training.callbacks import History, Log, SkippedSteps, Steps, seed_everything
from chexnet.training.checkpoints import Checkpoints
from chexnet.training.history import Row
from chexnet.training.inputs import Data, Report, continued, differences, facts, identity, open_data, silent
from chexnet.training.loss import BinaryCrossEntropy
from chexnet.training.metric import AUROC
from chexnet.training.signals import StopRequest
from chexnet.training.state import Progress, State
from chexnet.training.state_checks import check_fits

OUTPUTS = ("config.json", "history.csv", "curves.png", "best_model.*", "final.*", "*.state")
"""What a run writes into its folder."""


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes:
        config: the run, as it ended.
        best_model: file of the weights with the highest validation AUROC_avg.
        best_epoch: its epoch, counted from 1.
        best_auroc: its AUROC_avg.
        history: one row an epoch.
        skipped: the images that were left out of each list file.
    """

    config: TrainConfig
    best_model: Path
    best_epoch: int
    best_auroc: float
    history: Sequence[Row]
    skipped: Mapping[str, Sequence[Skipped]]


def train(config: TrainConfig, report: Report | None = None) -> TrainResult:
    """Trains a CheXNet and leaves everything worth keeping in `config.save_dir`.

    There: `best_model.pdparams` and `final.pdparams` (each with a JSON beside it), `config.json`, `history.csv`,
    `curves.png`, and the newest `*.state` files, from which `resume` goes on.

    Args:
        config: the run.
        report: takes lines for a person; with it, `paddle.Model` prints its log too. Without it the run
            is silent.

    Raises:
        InputError: a list, an image, the first weights, the device or the folder cannot be used, or the
            loss is no longer finite.
        Interrupted: the process was sent SIGINT or SIGTERM; the state was saved.
    """
    tell = report or silent
    check_apart(config.save_dir, config.data_dir)
    data = open_data(config, tell)
    seed_everything(config.seed)
    # Optimizer state is keyed by parameter names, which the guard starts anew for this network.
    with paddle.utils.unique_name.guard():
        network = CheXNet(len(data.classes), config.backbone, config.normalization)
        if config.init == "imagenet":
            tell("=> taking Paddle's ImageNet weights from its cache, or downloading them")
        first = initialise(network, config.init)
        tell(f"=> starting from {first.words}")
        for line in differences(first, config, data):
            tell(f"=> warning: {config.init}: {line}")
        with locked(config.save_dir):
            _check_unused(Path(config.save_dir))
            trained_on = audit.fingerprint(data.train.list.names, first.metadata, data.train.list.patients)
            return _fit(config, network, data, report, trained_on)


def resume(
    path: Path | None, changes: Mapping[str, Any], force: bool = False, report: Report | None = None
) -> TrainResult:
    """Goes on with a run from a state that it saved, to the same weights as if nothing had happened.

    The same, bit for bit, on a CPU; a GPU's sums depend on the order in which it takes them.

    Args:
        path: a state file, or a folder, whose newest state is taken; None for `save_dir`, where the run begins
            if it has not left a state there.
        changes: fields of the TrainConfig that the user has set; all others are the run's own. `save_dir` is the
            folder of the state unless it is set here.
        force: allow changes of what decides where and how long a run computes (see WHERE_IT_RUNS).
        report: as for `train`.

    Raises:
        InputError: as for `train`; there is no state; or `changes` would make another run of it.
        Interrupted: as for `train`.
    """
    tell = report or silent
    if path is not None and not path.exists():
        raise InputError(f"{path}: no such file or folder, expected a saved state to go on from")
    origin = Path(changes.get("save_dir", TrainConfig.save_dir)) if path is None else path
    source = origin.parent if origin.is_file() else origin
    if path is None and not state.paths(source):
        tell(f"=> {source} holds no state yet: starting from the beginning")
        return train(TrainConfig(**changes), report)
    folder = Path(changes.get("save_dir", source))
    with locked(folder):
        if folder.resolve() != source.resolve():
            _check_unused(folder)
        elif origin.is_file() and (newer := [one.name for one in state.paths(source)[-1:] if one.name != origin.name]):
            raise InputError(f"{origin}: {newer[0]} is newer and would be in the way; choose another --save_dir")
        file, saved = state.newest(source, tell) if origin.is_dir() else (origin, state.load(origin))
        config = continued(saved, file, {**changes, "save_dir": str(folder)}, force)
        check_apart(folder, config.data_dir)
        data = open_data(config, tell, saved)
        tell(f"=> going on from {file}: {saved.progress}")
        with paddle.utils.unique_name.guard():
            network = CheXNet(len(data.classes), config.backbone, config.normalization)
            checkpoint.assign(network, saved.weights, str(file))
            trained_on = saved.trained_on or _fingerprint_of(config, data)
            return _fit(config, network, data, report, trained_on, saved)


def _fingerprint_of(config: TrainConfig, data: Data) -> dict[str, Any]:
    """What a run was trained on whose state is of an earlier version, which did not say so."""
    begun_with = None if config.init in ("random", "imagenet") else checkpoint.read_sidecar(config.init)
    return audit.fingerprint(data.train.list.names, begun_with, data.train.list.patients)


def _fit(
    config: TrainConfig,
    network: CheXNet,
    data: Data,
    report: Report | None,
    trained_on: Mapping[str, Any],
    saved: State | None = None,
) -> TrainResult:
    """Trains to the end, from the beginning or from where `saved` is. The folder is this process's alone."""
    progress = saved.progress if saved else Progress()
    metric = AUROC(len(data.classes), data.classes)
    model = _prepared(config, network, metric, saved)
    remove_leftovers(config.save_dir, OUTPUTS)
    write_text(Path(config.save_dir) / "config.json", config.to_json())
    loaders = [
        BatchLoader(images, config.batch_size, shuffle, workers=config.num_workers, upload=True)
        for images, shuffle in zip(data.sets, (True, False), strict=True)
    ]
    tell = report or silent
    with StopRequest(tell) as stop:
        restored = saved.optimizer if saved else {}
        kept = facts(config, data, trained_on)
        checkpoints = Checkpoints(config, identity(config), kept, progress, metric, restored, stop, tell)
        callbacks = [
            Log(progress, config.epoch, verbose=2 if report else 0),
            Steps(progress, loaders[0], metric),
            *([SkippedSteps(progress)] if model._scaler else []),
            History(progress, Path(config.save_dir), metric, *loaders),
            checkpoints,
            LRScheduler(by_step=False),  # in place of the default one, which steps by batch; Checkpoints steps
        ]
        if saved and checkpoints.finished:
            tell("=> nothing is left to train: this run is finished")
            checkpoints.set_model(model)
            checkpoints.write_outputs()
        else:
            model.fit(*loaders, epochs=config.epoch - progress.epoch, callbacks=callbacks)
    best_model = Path(config.save_dir) / f"best_model.{config.format}"
    skipped = {str(images.list.path): images.skipped for images in data.sets}
    return TrainResult(config, best_model, progress.best_epoch, progress.best_auroc, progress.rows, skipped)


def _prepared(config: TrainConfig, network: CheXNet, metric: AUROC, saved: State | None) -> paddle.Model:
    schedule = MultiStepDecay(config.learning_rate, list(config.decay_epochs), config.decay_factor)
    kinds = {"adam": Adam, "sgd": Momentum}  # Paddle's momentum is 0.9 unless something else is said
    optimizer = kinds[config.optimizer](schedule, parameters=network.parameters(), use_multi_tensor=True)
    model = paddle.Model(network)
    model.prepare(optimizer, BinaryCrossEntropy(), metric, amp_configs=None if config.amp == "off" else config.amp)
    # As fit would make it; here it can be given its state, and looked at.
    model._scaler = None if config.amp == "off" else paddle.amp.GradScaler()
    if saved:
        shapes = {parameter.name: tuple(parameter.shape) for parameter in network.parameters()}
        check_fits(saved, shapes, network.out_size)
        try:
            optimizer.set_state_dict(dict(saved.optimizer))
            if model._scaler:
                model._scaler.load_state_dict(dict(saved.scaler))
            if saved.seen:
                metric.update(saved.seen["probabilities"], saved.seen["labels"])
        except Exception as error:  # whatever Paddle says of what does not fit
            why = (str(error) or type(error).__name__)[:200]
            raise InputError(f"the saved state does not fit the network and its optimizer: {why}") from error
    return model


def _check_unused(folder: Path) -> None:
    if state.paths(folder) or (folder / "history.csv").exists():
        raise InputError(
            f"{folder}: holds another run, expected none; --resume goes on with it, or choose another --save_dir"
        )
